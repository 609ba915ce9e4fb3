"""A pickle is read as data: whatever it asks for, nothing is imported and nothing is called."""

import argparse
import codecs
import collections
import copyreg
import dataclasses
import io
import pickle
import pickletools
import struct
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from kdgap.store import checkpoint, pickled
from kdgap.store.checkpoint import tensors_in
from kdgap.store.pickled import Construction, Named, NotReadableError, read_pickle
from kdgap.store.unpickle import read_checkpoint

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)


def read(content: bytes) -> Any:
    return read_pickle(io.BytesIO(content))[0]


def plain(value: Any) -> Any:
    """Turn what was read into the values themselves, for the kinds that hypothesis makes."""
    if isinstance(value, Construction):
        assert isinstance(value.maker, Named)
        match value.maker.name.rpartition(".")[2]:
            case "dict":
                return {plain(key): plain(inner) for key, inner in value.pairs}
            case "set" | "frozenset":
                members = value.members or (value.arguments[0] if value.arguments else ())
                return frozenset(map(plain, members))
            case "bytearray" | "bytes":
                first = value.arguments[0] if value.arguments else b""
                return first if isinstance(first, bytes) else plain(first)
            case "encode":
                return value.arguments[0].encode("latin1")
    if isinstance(value, list):
        return [plain(inner) for inner in value]
    return tuple(plain(inner) for inner in value) if isinstance(value, tuple) else value


ATOMS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary(max_size=300)
)
VALUES = st.recursive(
    ATOMS,
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(ATOMS, inner)
        | st.frozensets(ATOMS)
        | st.lists(inner).map(tuple)
    ),
    max_leaves=12,
)


@given(VALUES, st.sampled_from(PROTOCOLS))
def test_plain_values_are_read_as_pickle_reads_them(value: Any, protocol: int) -> None:
    assert plain(read(pickle.dumps(value, protocol))) == value


def test_what_is_shared_or_goes_in_a_circle_is_kept() -> None:
    circle: list[Any] = [1]
    circle.append(circle)
    outer = read(pickle.dumps([circle, circle]))
    assert outer[0] is outer[1]
    assert outer[0][1] is outer[0]


# Hostile pickles: each leaves a mark if anything of it is executed


class Reduced:
    """Unpickling it calls a function."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.call


def _op(name: str) -> bytes:
    return pickletools.opcodes[
        next(i for i, op in enumerate(pickletools.opcodes) if op.name == name)
    ].code.encode("latin1")


def hostile(mark: Path) -> dict[str, bytes]:
    line = f"open({str(mark)!r}, 'w').close()"
    reduced = Reduced(open, str(mark), "w")
    builtin = b"cbuiltins\n"
    text = b"V" + line.encode() + b"\n"
    shell = b"V: > " + str(mark).encode() + b"\n"
    return {
        "open": pickle.dumps(reduced),
        "os.system": b"cos\nsystem\n" + shell + b"\x85R.",
        "posix.system by its own name": b"cposix\nsystem\n" + shell + b"\x85R.",
        "subprocess": b"csubprocess\ncheck_output\n((lV/bin/sh\naV-c\na" + shell + b"atR.",
        "eval": builtin + b"eval\n" + text + b"\x85R.",
        "exec": builtin + b"exec\n" + text + b"\x85R.",
        "stack global": b"\x80\x04\x8c\x08builtins\x8c\x04exec\x93" + text + b"\x85R.",
        "a chain of getattr": builtin
        + b"getattr\ncbuiltins\n__import__\nVos\n\x85RVsystem\n\x86R"
        + shell
        + b"\x85R.",
        "old instance": b"(V" + line.encode() + b"\nibuiltins\nexec\n.",
        "old object": b"(" + builtin + b"exec\n" + text + b"o.",
        "new object": builtin + b"exec\n" + text + b"\x85\x81.",
        "new object with names": b"\x80\x04" + builtin + b"exec\n" + text + b"\x85}\x92.",
        "state": b"\x80\x02ctorch.nn\nModule\n)\x81}V__setstate__\n"
        + builtin
        + b"exec\nsb"
        + text
        + b"b.",
        "reconstructor": b"ccopyreg\n_reconstructor\n(cbuiltins\nexec\ncbuiltins\nobject\nNtR.",
        "partial": b"cfunctools\npartial\n" + builtin + b"exec\n" + text + b"\x86R)R.",
        "torch's own loader": b"ctorch\nload\n" + shell + b"\x85R.",
        "torch's own hub": b"ctorch.hub\nload\n" + shell + b"\x85R.",
        "a rebuilt tensor of a call": b"ctorch._utils\n_rebuild_parameter\n"
        + builtin
        + b"exec\n"
        + text
        + b"\x85R\x85R.",
        "a subclass of a tensor": b"ctorch._tensor\n_rebuild_from_type_v2\n("
        + builtin
        + b"exec\nN"
        + text
        + b"\x85NtR.",
        "persistent": builtin + b"exec\n" + text + b"\x85RQ.",
        "a pickle within a storage": b"ctorch._utils\n_rebuild_tensor_v2\n("
        b"ctorch.storage\n_load_from_bytes\n"
        + pickle.dumps(pickle.dumps(reduced))[2:-1]
        + b"\x85RI0\n)))tR.",
        "a key of a dictionary": b"}" + pickle.dumps(reduced, 0)[:-1] + b"K\x01s.",
        "a module that is not there": b"ckdgap_hostile_module\nrun\n)R.",
    }


@pytest.mark.parametrize("name", hostile(Path("/")))
def test_nothing_of_a_hostile_pickle_is_executed(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark = tmp_path / "executed"
    folder = tmp_path / "hostile"
    folder.mkdir()
    (folder / "kdgap_hostile_module.py").write_text(f"open({str(mark)!r}, 'w').close()")
    monkeypatch.syspath_prepend(str(folder))
    content = hostile(mark)[name]
    codecs.lookup("raw_unicode_escape")  # Python imports a codec when it is first used
    modules, extensions = set(sys.modules), dict(copyreg._inverted_registry)  # type: ignore[attr-defined]
    events: list[str] = []
    watching = True

    def audit(event: str, arguments: tuple[Any, ...]) -> None:
        if watching and event in ("exec", "import", "open", "os.system", "subprocess.Popen"):
            events.append(f"{event} {arguments[:1]}")

    sys.addaudithook(audit)  # cannot be taken away again
    try:
        list(tensors_in(read_checkpoint(io.BytesIO(content))))
    except NotReadableError:
        pass
    finally:
        watching = False
    assert events == []
    assert not mark.exists()
    assert set(sys.modules) == modules
    assert copyreg._inverted_registry == extensions  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["open", "eval", "exec", "stack global", "a chain of getattr"])
def test_the_hostile_pickles_work(name: str, tmp_path: Path) -> None:
    mark = tmp_path / "executed"
    loaded = pickle.loads(hostile(mark)[name])
    if name == "open":
        loaded.close()
    assert mark.exists()


def test_extension_codes_are_refused() -> None:
    for code in (b"\x82\x01.", b"\x83\x01\x00.", b"\x84\x01\x00\x00\x00."):
        with pytest.raises(NotReadableError, match="EXT"):
            read(code)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b".",
        b"0.",
        b"t.",
        b"R.",
        b"K\x01K\x02R",
        b"h\x07.",
        b"\x85.",
        b"]K\x01s.",
        b"K\x01K\x02b.",
        b"(K\x01d.",
        b"I" + b"9" * 10_000 + b"\n.",
        b"p99999999999999999999\n.",
        b"\x8e\xff\xff\xff\xff\xff\xff\xff\xff.",
        b"\x8b\xff\xff\xff\x7f.",
        b"(" * 10_000 + b"l" * 9_000,
    ],
)
def test_a_damaged_pickle_is_refused(content: bytes) -> None:
    with pytest.raises(NotReadableError):
        read(content)


def test_a_long_pickle_is_refused_at_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pickled, "MAX_OPCODES", 1000)
    assert read(b"(" + b"K\x01" * 990 + b"l.") == [1] * 990
    stream = io.BytesIO(b"]" * 1_000_000)
    with pytest.raises(NotReadableError, match="1,000 opcodes"):
        read_pickle(stream)
    assert stream.tell() < 1010


def test_a_bomb_of_shared_lists_is_looked_at_once() -> None:
    bomb: list[Any] = []
    for _ in range(200):
        bomb = [bomb, bomb]
    assert list(tensors_in(read_checkpoint(io.BytesIO(pickle.dumps(bomb))))) == []


def test_keys_that_collide_cost_no_more_than_others() -> None:
    """A dictionary of these takes quadratic time: they all have one hash."""
    step = sys.hash_info.modulus
    pairs = b"".join(pickle.dumps(n * step, 2)[2:-1] + b"K\x01" for n in range(20_000))
    assert len(read(b"}(" + pairs + b"u.").pairs) == 20_000


# Small files with large bills


def named(name: str) -> bytes:
    module, _, rest = name.rpartition(".")
    return f"c{module}\n{rest}\n".encode()


ENCODED = b"\x80\x03" + named("torch._utils._rebuild_tensor") + b"q\x000)q\x020"
ENCODED += named("torch.storage._load_from_bytes") + b"q\x030"


def encoding(storage: bytes) -> bytes:
    """Return the opcodes of a storage that the pickle itself holds."""
    return b"h\x03B" + struct.pack("<I", len(storage)) + storage + b"\x85R"


def test_the_pickles_of_a_file_are_bounded_together(monkeypatch: pytest.MonkeyPatch) -> None:
    inner = b"(" + b"N" * 600 + b"l."

    def holding(count: int) -> io.BytesIO:
        tensors = (b"h\x00(" + encoding(inner) + b"K\x00h\x02h\x02tR") * count
        return io.BytesIO(ENCODED + b"(" + tensors + b"l.")

    monkeypatch.setattr(pickled, "MAX_OPCODES", 2000)
    assert list(tensors_in(read_checkpoint(holding(2)))) == []
    with pytest.raises(NotReadableError, match="2,000 opcodes"):
        list(tensors_in(read_checkpoint(holding(4))))
    older = pickle.dumps(checkpoint._MAGIC, 2) + pickle.dumps(checkpoint._PROTOCOL, 2)
    older += pickle.dumps({"little_endian": True}, 2) + inner * 4
    monkeypatch.setattr(pickled, "MAX_OPCODES", 1000)
    with pytest.raises(NotReadableError, match="1,000 opcodes"):
        read_checkpoint(io.BytesIO(older))


def test_a_storage_that_is_encoded_once_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where it is text, which is made bytes of: each time, were it done for each tensor."""
    asked: list[int] = []
    real = checkpoint._bytes

    def counted(value: Any, most: int | None = None) -> bytes | None:
        asked.append(1)
        return real(value, most)

    monkeypatch.setattr(checkpoint, "_bytes", counted)
    text = b"X" + struct.pack("<I", 10_000) + b"N." + b" " * 9998
    text = named("_codecs.encode") + text + b"X\x06\0\0\0latin1\x86R"
    storage = b"h\x03" + text + b"\x85Rq\x040"
    tensors = b"h\x00(h\x04K\x00h\x02h\x02tR" * 500
    content = io.BytesIO(ENCODED + storage + b"(" + tensors + b"l.")
    assert list(tensors_in(read_checkpoint(content))) == []
    assert len(asked) == 1


COUNT = 10_000
SHARED = {
    "arguments": (b"(" + b"]" * COUNT + b"t", b"h\x01R"),
    "pairs": (b"((X\x01\0\0\0aNl" + b"N" * COUNT + b"l\x85", b"h\x01R"),
    "state": (b"}(" + b"K\x01]" * COUNT + b"u", b")Rh\x01b"),
}


@pytest.mark.parametrize(("shared", "how"), SHARED.values(), ids=SHARED)
def test_parts_that_many_objects_share_are_looked_at_to_a_bound(
    shared: bytes, how: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """60 KB, and 100 million parts."""
    looked_at = 0
    content = b"\x80\x02" + named("a.b") + b"q\x000" + shared + b"q\x010"
    real = checkpoint.parts_of

    def counted(value: Any) -> Any:
        nonlocal looked_at
        for part in real(value):
            looked_at += 1
            yield part

    monkeypatch.setattr(checkpoint, "parts_of", counted)
    monkeypatch.setattr(checkpoint, "_MAX_PARTS", 50_000)
    loaded = read_checkpoint(io.BytesIO(content + b"(" + (b"h\x00" + how) * COUNT + b"l."))
    with pytest.raises(NotReadableError, match="more than 50,000 parts"):
        list(tensors_in(loaded))
    assert looked_at < 50_000 + 2 * COUNT


def test_a_shape_that_many_tensors_share_is_looked_at_only_if_it_is_one() -> None:
    storage = b"(X\x07\0\0\0storage" + named("torch.FloatStorage")
    storage += b"X\x01\0\0\x000X\x03\0\0\0cpuK\x01tQq\x020"

    def seconds(count: int) -> float:
        content = b"\x80\x02" + named("torch._utils._rebuild_tensor") + b"q\x000"
        content += b"(" + b"K\x01" * count + b"tq\x010" + storage
        content += b"(" + b"h\x00(h\x02K\x00h\x01h\x01tR" * count + b"l."
        loaded = read_checkpoint(io.BytesIO(content))
        begin = time.process_time()
        assert list(tensors_in(loaded)) == []
        return time.process_time() - begin

    small, large = (min(seconds(count) for _ in range(5)) for count in (4000, 16_000))
    assert large < 8 * small  # 16 times where it is all


def test_a_key_that_is_no_text_is_not_hashed() -> None:
    """The hash of pairs of one pair of one pair … takes twice as long with each level."""
    older = pickle.dumps(checkpoint._MAGIC, 2) + pickle.dumps(checkpoint._PROTOCOL, 2)
    older += pickle.dumps({"little_endian": True}, 2) + pickle.dumps([], 2)
    keys = b"\x80\x02](K\x01" + b"2\x86" * 300 + b"e."
    with pytest.raises(NotReadableError, match="its storages are not those"):
        read_checkpoint(io.BytesIO(older + keys + bytes(8)))


# Fuzz


@dataclasses.dataclass
class Settings:
    rate: float = 0.1


def _checkpoints() -> list[bytes]:
    content = {
        "state_dict": {"a": torch.ones(2), "b": torch.zeros(1, dtype=torch.int64)},
        "args": argparse.Namespace(lr=0.1),
        "settings": Settings(),
        "counts": collections.Counter("ab"),
    }
    checkpoints = [pickle.dumps(content, protocol) for protocol in (0, 2, 4)]
    for zipped in (True, False):
        stream = io.BytesIO()
        torch.save(content, stream, _use_new_zipfile_serialization=zipped)
        checkpoints.append(stream.getvalue())
    return checkpoints


CHECKPOINTS = _checkpoints()


@given(
    st.sampled_from(range(len(CHECKPOINTS))),
    st.lists(st.tuples(st.integers(0, 2**31), st.integers(0, 255)), min_size=1, max_size=4),
    st.none() | st.integers(0, 2**31),
)
def test_a_mutated_checkpoint_is_read_or_refused(
    which: int, changes: list[tuple[int, int]], cut: int | None
) -> None:
    content = bytearray(CHECKPOINTS[which])
    for place, value in changes:
        content[place % len(content)] = value
    if cut is not None:
        del content[cut % len(content) :]
    try:
        for tensor in tensors_in(read_checkpoint(io.BytesIO(bytes(content)))):
            assert tensor.size >= 0
            assert tensor.extent >= 0
    except NotReadableError:
        pass


@given(st.binary(max_size=60))
def test_random_opcodes_are_read_or_refused(content: bytes) -> None:
    for head in (b"", b"PK\x03\x04", b"\x80\x02"):
        with suppress(NotReadableError):
            list(tensors_in(read_checkpoint(io.BytesIO(head + content))))
