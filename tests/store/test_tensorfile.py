"""Safetensors headers are read with bounds, and as the library reads them."""

import io
import json
import struct
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import safetensors.torch
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import SafetensorError

from kdgap.errors import TeacherError
from kdgap.spec.model import ModelSpec
from kdgap.store.card import Card, read_card
from kdgap.store.tensorfile import MAX_HEADER, MAX_TENSORS, NotSafetensorsError, read_header
from kdgap.store.weights import DTYPES, read_tensors, read_weights, weight_hash, write_weights


def file_of(header: object, data: bytes = b"") -> bytes:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(raw)) + raw + data


def entry(begin: int, end: int, **changes: Any) -> dict[str, Any]:
    return {"dtype": "U8", "shape": [end - begin], "data_offsets": [begin, end], **changes}


@pytest.mark.parametrize("name", DTYPES)
def test_every_type_comes_back_as_the_library_wrote_it(name: str) -> None:
    values = torch.arange(48, dtype=torch.uint8).view(DTYPES[name]) if name != "BOOL" else (
        torch.arange(6) % 2 == 0
    )  # fmt: skip
    content = safetensors.torch.save({"b": values, "a": torch.ones(()), "e": torch.empty(0, 3)})
    stream = io.BytesIO(content)
    tensors = read_tensors(stream, read_header(stream))
    assert tensors["b"].dtype == values.dtype
    assert torch.equal(tensors["b"].view(torch.uint8), values.view(torch.uint8))
    assert tensors["a"].shape == ()
    assert tensors["e"].shape == (0, 3)


HOSTILE = {
    "a name twice": file_of(b'{"a":%s,"a":%s}' % ((json.dumps(entry(0, 1)).encode(),) * 2), b"x"),
    "metadata twice": file_of(b'{"__metadata__":{"k":"1","k":"2"}}'),
    "a field too many": file_of({"a": entry(0, 1, more=1)}, b"x"),
    "a hole": file_of({"a": entry(0, 1), "b": entry(2, 3)}, b"xxx"),
    "a shape of fractions": file_of({"a": entry(0, 1, shape=[1.0])}, b"x"),
    "a shape of truths": file_of({"a": entry(0, 1, shape=[True])}, b"x"),
    "a shape of 1,000 ones": file_of({"a": entry(0, 1, shape=[1] * 1000)}, b"x"),
    "an endless number": file_of(b'{"a":{"dtype":"U8","shape":[' + b"9" * 9000 + b"]}}"),
    "half a surrogate pair": file_of(
        b'{"\\ud800":' + json.dumps(entry(0, 1)).encode() + b"}", b"x"
    ),
    "half a pair in the card": file_of(b'{"__metadata__":{"kdgap":"\\udfff"}}'),
    "NaN": file_of(b'{"a":NaN}'),
    "three offsets": file_of({"a": entry(0, 1, data_offsets=[0, 1, 1])}, b"x"),
    "lists a million deep": file_of(b"[" * 1_000_000),
    "a list of empty lists": file_of(b"[" + b"[]," * 1_000_000 + b"[]]"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_header_is_refused(name: str) -> None:
    with pytest.raises(NotSafetensorsError):
        read_header(io.BytesIO(HOSTILE[name]))


class Counted(io.BytesIO):
    """Knows how much was asked of it."""

    asked = 0

    def read(self, size: int | None = -1, /) -> bytes:
        assert size is not None
        assert size >= 0
        self.asked += size
        return super().read(size)


@pytest.mark.parametrize("length", [MAX_HEADER + 1, 2**40, 2**63, 2**64 - 1])
def test_a_header_beyond_the_bound_is_not_read(length: int) -> None:
    stream = Counted(struct.pack("<Q", length) + b"{}")
    with pytest.raises(NotSafetensorsError, match="at most"):
        read_header(stream)
    assert stream.asked == 8


def many(count: int) -> bytes:
    each = '"%d":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}'
    return file_of(("{" + ",".join(each % n for n in range(count)) + "}").encode())


def test_too_many_tensors_are_refused_before_they_are_parsed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert len(read_header(io.BytesIO(many(MAX_TENSORS))).tensors) == MAX_TENSORS

    def parsed(*_: object, **__: object) -> None:
        pytest.fail("the header was parsed")

    content = many(MAX_TENSORS + 1)
    monkeypatch.setattr("kdgap.store.tensorfile.json.loads", parsed)
    with pytest.raises(NotSafetensorsError, match="65,537 tensors"):
        read_header(io.BytesIO(content))


def test_the_headers_of_the_issue_are_refused_in_bounded_memory(tmp_path: Path) -> None:
    """800,000 tensors in 45 MB of header, and 150,000 in what the bound lets through."""
    for count in (800_000, 150_000):
        (tmp_path / f"{count}.safetensors").write_bytes(many(count))
    code = """
import resource, sys
from pathlib import Path
from types import SimpleNamespace
from kdgap.errors import TeacherError
from kdgap.spec.model import ModelSpec
from kdgap.store.card import Card, read_card
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for path in sys.argv[1:]:
    try:
        read_card(Path(path))
        sys.exit("read")
    except TeacherError as error:
        print(error)
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print((after - before) * (1 if sys.platform == "darwin" else 1024))
"""
    paths = sorted(map(str, tmp_path.iterdir()))
    done = subprocess.run(
        [sys.executable, "-c", code, *paths], capture_output=True, text=True, check=True
    )
    *errors, grown = done.stdout.splitlines()
    assert len(errors) == 2
    assert int(grown) < 4 * MAX_HEADER


def large(folder: Path) -> Path:
    """A weights file with a card, and 4,000 bytes of tensors."""
    path, state = folder / "large.safetensors", {"a": torch.zeros(4000, dtype=torch.uint8)}
    card = Card(
        model=ModelSpec(name="resnet8"),
        classes=("a", "b"),
        channels=1,
        image_size=(8, 8),
        mean=(0.5,),
        std=(0.5,),
        data="digits",
        fingerprint=None,
        weight_hash=weight_hash(state),
        checkpoint="converted",
    )
    write_weights(path, state, card)
    return path


def test_tensors_larger_than_memory_are_refused_before_one_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = large(tmp_path)
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=3999))
    monkeypatch.setattr("torch.empty", lambda *_, **__: pytest.fail("a tensor was made"))
    with pytest.raises(TeacherError, match="of memory are free"):
        read_weights(path)


def test_a_limit_of_the_process_counts_as_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = large(tmp_path)
    assert read_weights(path)[0]["a"].shape == (4000,)
    monkeypatch.setattr("resource.getrlimit", lambda _: (2**20, 2**20))
    with pytest.raises(TeacherError, match="of memory are free"):
        read_weights(path)


# Fuzz

WHOLE = safetensors.torch.save(
    {"a": torch.arange(4.0), "b": torch.ones(2, 3, dtype=torch.int64)}, {"kdgap": "{}"}
)
LENGTH = struct.unpack("<Q", WHOLE[:8])[0]


@given(st.binary(max_size=200))
def test_random_bytes_are_refused(content: bytes) -> None:
    with pytest.raises(NotSafetensorsError):
        read_header(io.BytesIO(content))


@given(st.integers(0, 8 + LENGTH - 1), st.integers(1, 255))
def test_a_changed_byte_in_a_header_reads_as_the_library_reads_it_or_is_refused(
    place: int, change: int
) -> None:
    content = bytearray(WHOLE)
    content[place] ^= change
    stream = io.BytesIO(bytes(content))
    try:
        tensors = read_tensors(stream, read_header(stream))
    except NotSafetensorsError:
        return  # we may be stricter than the library
    wanted = safetensors.torch.load(bytes(content))
    assert tensors.keys() == wanted.keys()
    assert all(
        torch.equal(tensors[name].view(torch.uint8), wanted[name].view(torch.uint8))
        for name in wanted
    )


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2**65) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
ENTRIES = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from(["U8", "F32", "BF16", "EVIL"]) | JSON,
        "shape": st.lists(st.integers(-1, 4), max_size=3) | JSON,
        "data_offsets": st.lists(st.integers(-1, 12), min_size=2, max_size=2) | JSON,
    }
)


@given(st.dictionaries(st.text(max_size=4), ENTRIES, max_size=3), st.integers(0, 12))
def test_any_header_is_read_as_the_library_reads_it_or_refused(
    header: dict[str, Any], length: int
) -> None:
    content = file_of(header, bytes(length))
    stream = io.BytesIO(content)
    try:
        ours = read_tensors(stream, read_header(stream))
    except NotSafetensorsError:
        return
    try:
        wanted = safetensors.torch.load(content)
    except SafetensorError as error:
        pytest.fail(f"only we read this: {error}")
    assert {n: t.shape for n, t in ours.items()} == {n: t.shape for n, t in wanted.items()}


# What cannot be opened


def test_a_pipe_and_a_locked_file_are_one_line(tmp_path: Path) -> None:
    import os

    pipe = tmp_path / "pipe.safetensors"
    os.mkfifo(pipe)
    with pytest.raises(TeacherError, match=r"pipe\.safetensors: not a regular file"):
        read_card(pipe)
    folder = tmp_path / "folder.safetensors"
    folder.mkdir()
    with pytest.raises(TeacherError, match=r"folder\.safetensors: Is a directory"):
        read_weights(folder)


def test_a_file_that_shrinks_while_it_is_read_is_refused() -> None:
    stream = io.BytesIO(WHOLE)
    header = read_header(stream)
    with pytest.raises(NotSafetensorsError, match="within a tensor"):
        read_tensors(io.BytesIO(WHOLE[:-1]), header)
