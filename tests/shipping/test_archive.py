"""A `.pt2` archive of somebody else's: nothing in it is executed, whatever stands where.

Each attack is one that torch's own loader follows; two of them are shown to work there, so that
these tests would notice if the attacks were none.
"""

import io
import json
import pickle
import struct
import zipfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch

from kdgap.errors import BadInputError
from kdgap.running.teacher import open_teacher
from kdgap.shipping.archive import ArchiveError, facts_text, program_bytes, rebuilt
from kdgap.shipping.deployed import answer_of, quiet, traced
from kdgap.shipping.facts import Facts
from kdgap.shipping.graph import GraphError, _refuse_outside
from kdgap.shipping.models import open_graph
from kdgap.spec.model import ModelSpec
from tests.shipping.networks import weights_file

Document = dict[str, Any]
MODEL, WEIGHTS = "models/model.json", "data/weights/model_weights_config.json"
CONSTANTS = "data/constants/model_constants_config.json"
INPUTS = "data/sample_inputs/model.pt"


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The archive of a small network."""
    path = tmp_path_factory.mktemp("archive") / "small.safetensors"
    grey: Document = {"mean": (0.3,), "std": (0.4,), "data": "digits"}
    weights_file(path, ModelSpec(name="resnet8", width=0.125), 8, **grey)
    opened = open_teacher(path, None, unmeasured=True)
    program = traced(opened.network, opened.card, "small")
    return program_bytes(program, Facts(kdgap="0", card=opened.card))


@pytest.fixture
def trap(tmp_path: Path) -> Path:
    """A file that exists once an attack has worked."""
    return tmp_path / "executed"


class Attack:
    """Makes a file when it is unpickled."""

    def __init__(self, trap: Path) -> None:
        self.trap = trap

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.trap,))


def changed(
    content: bytes,
    change: Callable[[str, bytes], bytes | None] = lambda _, member: member,
    more: dict[str, bytes] | None = None,
    packed: int = zipfile.ZIP_STORED,
) -> bytes:
    """Return an archive with members changed (None: left out) and added."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(out, "w", packed) as new:
        root = old.namelist()[0].partition("/")[0]
        for name in old.namelist():
            member = change(name.partition("/")[2], old.read(name))
            if member is not None:
                new.writestr(name, member)
        for name, member in (more or {}).items():
            new.writestr(f"{root}/{name}", member)
    return out.getvalue()


def with_document(content: bytes, member: str, change: Callable[[Document], Any]) -> bytes:
    """Return an archive with a document changed in place."""

    def apply(name: str, old: bytes) -> bytes:
        if name != member:
            return old
        document = json.loads(old)
        change(document)
        return json.dumps(document).encode()

    return changed(content, apply)


def loads(content: bytes) -> None:
    """Load as `kdgap predict` does."""
    open_graph(content, "pt2", "given.pt2")


def node(document: Document, number: int = 0) -> Document:
    entry: Document = document["graph_module"]["graph"]["nodes"][number]
    return entry


def test_an_honest_archive_answers_as_its_network(honest: bytes, tmp_path: Path) -> None:
    path = tmp_path / "small.safetensors"
    grey: Document = {"mean": (0.3,), "std": (0.4,), "data": "digits"}
    weights_file(path, ModelSpec(name="resnet8", width=0.125), 8, **grey)
    opened = open_teacher(path, None, unmeasured=True)
    model = open_graph(honest, "pt2", "given.pt2")
    for count in (1, 2, 7):  # a batch of any size
        images = torch.rand(count, 1, 8, 8, generator=torch.Generator().manual_seed(count))
        expected = answer_of(opened.network, opened.card, torch.device("cpu"))(images)
        torch.testing.assert_close(model.answer(images), expected, rtol=1e-5, atol=1e-5)


def _evaluated(trap: Path) -> Callable[[Document], Any]:
    expression = f"__import__('pathlib').Path({str(trap)!r}).touch()"

    def change(document: Document) -> None:
        values = document["graph_module"]["graph"]["sym_int_values"]
        next(iter(values.values()))["as_expr"]["expr_str"] = expression

    return change


def test_the_attacks_work_on_torchs_own_loader(honest: bytes, trap: Path) -> None:
    inputs = io.BytesIO()
    torch.save(((Attack(trap),), {}), inputs)
    attacks = [
        changed(honest, lambda name, old: inputs.getvalue() if name == INPUTS else old),
        with_document(honest, MODEL, _evaluated(trap)),
    ]
    for content in attacks:
        with quiet(), suppress(Exception):  # it may notice afterwards
            torch.export.load(io.BytesIO(content))
        assert trap.exists()
        trap.unlink()


def test_example_inputs_are_never_read(honest: bytes, trap: Path) -> None:
    inputs = io.BytesIO()
    torch.save(((Attack(trap),), {}), inputs)
    loads(changed(honest, lambda name, old: inputs.getvalue() if name == INPUTS else old))
    assert not trap.exists()


def test_guards_and_metadata_are_left_out(honest: bytes, trap: Path) -> None:
    def change(document: Document) -> None:
        document["guards_code"] = [f"__import__('pathlib').Path({str(trap)!r}).touch()"]
        node(document)["metadata"] = {"source_fn_stack": "a,torch.os.system"}
        document["graph_module"]["metadata"] = {"x": "y"}

    loads(with_document(honest, MODEL, change))
    assert not trap.exists()


PROGRAM: dict[str, tuple[Callable[[Document], Any], str]] = {
    "function": (lambda d: node(d).update(target="torch.os.system"), "torch.os.system"),
    "aten": (lambda d: node(d).update(target="torch.ops.aten.from_file.default"), "from_file"),
    "bare": (lambda d: node(d).update(target="relu"), "'relu'"),
    "operator": (lambda d: node(d).update(target="_operator.methodcaller"), "methodcaller"),
    "name": (lambda d: node(d).update(name="x\nimport os"), "odd text"),
    "argument": (
        lambda d: node(d)["inputs"][0].update(arg={"as_graph": {"name": "g", "graph": {}}}),
        "as_graph",
    ),
    "key": (lambda d: d.update(more=1), "'more'"),
    "objects": (
        lambda d: d["graph_module"]["graph"]["custom_obj_values"].update(name="x"),
        "no tensors",
    ),
    "symbol": (lambda d: d["range_constraints"].update({"exec": {}}), "'exec'"),
    "tree": (
        lambda d: d["graph_module"]["module_call_graph"][0]["signature"].update(in_spec="[1, {}]"),
        "from images to logits",
    ),
    "dialect": (lambda d: d.update(verifiers=["EDGE"]), "EDGE"),
    "graph": (lambda d: d.clear(), "no graph"),
}


@pytest.mark.parametrize("name", PROGRAM)
def test_a_graph_asks_for_nothing_that_is_not_listed(honest: bytes, name: str) -> None:
    change, words = PROGRAM[name]
    with pytest.raises(BadInputError, match=words) as error:
        loads(with_document(honest, MODEL, change))
    assert "\n" not in str(error.value)


def test_no_expression_is_evaluated(honest: bytes, trap: Path) -> None:
    with pytest.raises(BadInputError, match="odd text"):
        loads(with_document(honest, MODEL, _evaluated(trap)))
    assert not trap.exists()


def _first(document: Document) -> Document:
    entry: Document = next(iter(document["config"].values()))
    return entry


TENSORS: dict[str, tuple[Callable[[Document], Any], str]] = {
    "pickle": (lambda d: _first(d).update(use_pickle=True), "pickle"),
    "outside": (
        lambda d: _first(d)["tensor_meta"].update(storage_offset={"as_int": 10**6}),
        "within its bytes",
    ),
    "large": (
        lambda d: _first(d)["tensor_meta"]["sizes"].__setitem__(0, {"as_int": 10**12}),
        "within its bytes",
    ),
    "negative": (
        lambda d: _first(d)["tensor_meta"]["strides"].__setitem__(0, {"as_int": -1}),
        "odd shape",
    ),
    "elsewhere": (lambda d: _first(d).update(path_name="../../etc"), "odd name"),
    "device": (
        lambda d: _first(d)["tensor_meta"].update(device={"type": "cuda", "index": 0}),
        "cuda",
    ),
    "type": (lambda d: _first(d)["tensor_meta"].update(dtype=99), "odd type"),
    "list": (lambda d: d.clear(), "no list"),
}


@pytest.mark.parametrize("name", TENSORS)
def test_tensors_are_raw_bytes_within_the_archive(honest: bytes, name: str) -> None:
    change, words = TENSORS[name]
    with pytest.raises(BadInputError, match=words):
        loads(with_document(honest, WEIGHTS, change))


def test_objects_are_no_constants(honest: bytes, trap: Path) -> None:
    attack = pickle.dumps(Attack(trap))
    entry = {"path_name": "opaque_obj_0", "is_param": False, "use_pickle": True}
    document = json.dumps({"config": {"x": {**entry, "tensor_meta": None}}}).encode()
    content = changed(honest, lambda name, old: document if name == CONSTANTS else old)
    with pytest.raises(BadInputError, match="pickle"):
        loads(content)
    with pytest.raises(BadInputError, match="opaque_obj_0"):
        loads(changed(content, more={"data/constants/opaque_obj_0": attack}))
    assert not trap.exists()


@pytest.mark.parametrize(
    "member",
    ["data/weights/model.pt", "data/aotinductor/model/x.so", "code/x.py", "models/other.json"],
)
def test_a_member_that_is_not_expected_is_refused(honest: bytes, member: str) -> None:
    with pytest.raises(BadInputError, match="does not load"):
        loads(changed(honest, more={member: b"{}"}))


def test_a_packed_torn_or_foreign_file_is_refused(honest: bytes) -> None:
    for content, words in (
        (changed(honest, packed=zipfile.ZIP_DEFLATED), "packed"),
        (honest[: len(honest) // 2], "no .pt2 archive"),
        (b"", "no .pt2 archive"),
        (changed(honest, lambda name, old: old if name != WEIGHTS else b"[1"), "bad document"),
        (changed(honest, lambda name, old: old if name != MODEL else None), "missing"),
        (changed(honest, lambda name, old: None if "kdgap" in name else old), "does not say"),
    ):
        with pytest.raises(BadInputError, match=words):
            loads(content)


def test_a_deep_document_is_refused(honest: bytes) -> None:
    deep = b'{"graph_module": {"graph": ' + b'{"arg": ' * 900 + b"1" + b"}" * 902
    with pytest.raises(BadInputError, match=r"levels|bad document") as error:
        loads(changed(honest, lambda name, old: deep if name == MODEL else old))
    assert "\n" not in str(error.value)


def test_a_damaged_tensor_is_refused(honest: bytes) -> None:
    with zipfile.ZipFile(io.BytesIO(honest)) as archive:
        name = next(name for name in archive.namelist() if name.endswith("/weight_0"))
        where = honest.index(archive.read(name))
    torn = honest[:where] + bytes([honest[where] ^ 1]) + honest[where + 1 :]
    with pytest.raises(ArchiveError, match="damaged"):
        rebuilt(torn, torch.zeros(2, 1, 8, 8))


def test_it_holds_no_path_of_this_machine(honest: bytes) -> None:
    assert str(Path(torch.__file__).parent).encode() not in honest
    assert b".py" not in honest


def test_members_that_lie_one_within_the_other_are_refused() -> None:
    """What is not packed can still unpack to any size, where many members share the same bytes."""
    body, entries = bytes(1000), b""
    names = [f"small/data/weights/weight_{number}".encode() for number in range(50)]
    ends: list[tuple[bytes, int, int, int]] = []
    for name in names:
        check, size = zlib.crc32(body), len(body)
        head = struct.pack(
            "<IHHHHHIIIHH", 0x04034B50, 20, 0, 0, 0, 33, check, size, size, len(name), 0
        )
        body = head + name + body
        ends.append((name, check, size, len(body)))
    for name, check, size, before in ends:
        about = (0x02014B50, 20, 20, 0, 0, 0, 33, check, size, size, len(name), 0, 0, 0, 0, 0)
        entries += struct.pack("<IHHHHHHIIIHHHHHII", *about, len(body) - before) + name
    count = len(names)
    end = struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, count, count, len(entries), len(body), 0)
    with pytest.raises(ArchiveError, match=r"holds 120,605 bytes in 7,602"):
        facts_text(body + entries + end)


def test_a_tensor_may_end_where_its_bytes_do_and_not_one_later() -> None:
    meta: Document = {"dtype": 7, "storage_offset": {"as_int": 1}}
    meta |= {"sizes": [{"as_int": 2}, {"as_int": 3}], "strides": [{"as_int": 3}, {"as_int": 1}]}
    _refuse_outside("w", meta, 28)
    with pytest.raises(GraphError, match="not within its bytes"):
        _refuse_outside("w", meta, 27)
