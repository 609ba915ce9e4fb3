"""A parquet file gives pixels by the same table as image files, or one line that names it."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from kdgap import child, columns
from kdgap.data.parquet import decode_shards, described
from kdgap.errors import BadInputError
from tests.bills import bill

SHAPE = (3, 4, 4)
IMAGES = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def encoded(image: Image.Image, form: str = "PNG", **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


def images(*contents: bytes) -> pa.Array:
    return pa.array([{"bytes": content, "path": None} for content in contents], IMAGES)


PLAIN = encoded(Image.new("RGB", (4, 4), (1, 2, 3)))


def shard(folder: Path, columns: dict[str, pa.Array], *, names: object = ("a", "b")) -> Path:
    path = folder / "train.parquet"
    features = {"info": {"features": {"label": {"names": names}}}}
    table = pa.table(columns).replace_schema_metadata({"huggingface": json.dumps(features)})
    pq.write_table(table, path)
    return path


def decode(path: Path) -> np.ndarray:
    return decode_shards([path], "img", "label", SHAPE).pixels.numpy()


def read(path: Path) -> np.ndarray:
    """Read a file as a data set does: names, number, images."""
    assert described([path], "label")[0].rows >= 0
    return decode(path)


def class_names(path: Path) -> tuple[str, ...] | None:
    return described([path], "label")[0].classes


def refusal(path: Path) -> str:
    with pytest.raises(BadInputError) as caught:
        read(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message


# --- pixels


@pytest.mark.usefixtures("columns_here")
@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (PLAIN, (1, 2, 3)),
        (encoded(Image.fromarray(np.full((4, 4), 0x1234, np.uint16))), (0x12,) * 3),
        (encoded(Image.new("RGBA", (4, 4), (9, 9, 9, 0))), (255,) * 3),
        (encoded(Image.new("LA", (4, 4), (9, 0))), (255,) * 3),
        (encoded(Image.new("P", (4, 4), 0), transparency=0), (255,) * 3),
        (encoded(Image.new("CMYK", (4, 4), (0, 0, 0, 255)), "TIFF"), (0,) * 3),
        (encoded(Image.new("1", (4, 4), 1), "GIF"), (255,) * 3),
    ],
    ids=["plain", "16 bits", "RGBA", "LA", "palette", "CMYK", "two levels"],
)
def test_pixels_follow_the_table(content: bytes, expected: tuple[int, ...], tmp_path: Path) -> None:
    pixels = decode(shard(tmp_path, {"img": images(content), "label": pa.array([0])}))
    assert (pixels == np.array(expected).reshape(1, 3, 1, 1)).all()


@pytest.mark.usefixtures("columns_here")
def test_a_photo_is_turned(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[274] = 6  # stored on its left side
    stored = Image.new("RGB", (4, 4))
    stored.paste((255, 255, 255), (0, 0, 2, 4))
    path = shard(tmp_path, {"img": images(encoded(stored, exif=exif)), "label": pa.array([0])})
    assert decode(path)[0, 0].tolist() == [[255] * 4] * 2 + [[0] * 4] * 2


@pytest.mark.usefixtures("columns_here")
@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (encoded(Image.new("F", (4, 4)), "TIFF"), "mode F"),
        (encoded(Image.new("I", (4, 4)), "TIFF"), "mode I"),
        (encoded(Image.new("LAB", (4, 4)), "TIFF"), "mode LAB"),
        (encoded(Image.new("RGB", (4, 4)), "ICO"), "cannot be read: its content is not PNG"),
        (
            b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 4 4\n",
            "cannot be read: its content is not PNG",
        ),
        (encoded(Image.new("RGB", (5, 4))), "is 4x5, expected 4x4"),
    ],
    ids=["float", "int32", "LAB", "ICO", "EPS", "size"],
)
def test_what_the_table_refuses_is_named_by_file_and_row(
    content: bytes, expected: str, tmp_path: Path
) -> None:
    path = shard(tmp_path, {"img": images(PLAIN, content), "label": pa.array([0, 1])})
    message = refusal(path)
    assert message.startswith(f"{path}: image in row 1: ")
    assert expected in message


@pytest.mark.usefixtures("columns_here")
def test_an_image_of_another_size_is_refused_before_it_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kdgap.data.pixels.to_rgb", lambda _: pytest.fail("decoded"))
    content = encoded(Image.new("1", (9000, 9000)))
    path = shard(tmp_path, {"img": images(content), "label": pa.array([0])})
    assert "is 9000x9000, expected 4x4" in refusal(path)


# --- files


@pytest.mark.usefixtures("columns_here")
@pytest.mark.parametrize("twice", ["img", "label"])
def test_a_column_that_is_there_twice_is_refused(twice: str, tmp_path: Path) -> None:
    arrays = {"img": images(PLAIN), "label": pa.array([0])}
    table = pa.Table.from_arrays([*arrays.values(), arrays[twice]], [*arrays, twice])
    pq.write_table(table, tmp_path / "twice.parquet")
    assert f"has more than one column {twice!r}" in refusal(tmp_path / "twice.parquet")


@pytest.mark.usefixtures("columns_here")
@pytest.mark.parametrize(
    "column",
    [
        pa.array([{"bytes": "text", "path": None}]),
        pa.array([{"bytes": [1, 2], "path": None}]),
        pa.array([{"bytes": {"bytes": b"x"}}]),
        pa.array([{"path": "1.png"}]),
        pa.array([7]),
        pa.array([None], pa.null()),
        pa.StructArray.from_arrays([pa.array([b"x"])] * 2, ["bytes", "bytes"]),
    ],
    ids=["text", "list", "struct", "path only", "number", "null", "bytes twice"],
)
def test_a_column_without_encoded_images_is_refused(column: pa.Array, tmp_path: Path) -> None:
    refusal(shard(tmp_path, {"img": column, "label": pa.array([0])}))


@pytest.mark.usefixtures("columns_here")
@pytest.mark.parametrize(
    "label",
    [
        pa.array([2**64 - 1], pa.uint64()),
        pa.array(["a"]).dictionary_encode(),
        pa.array([True]),
        pa.array([[0]]),
    ],
    ids=["beyond int64", "dictionary", "truth value", "list"],
)
def test_labels_of_another_kind_are_refused(label: pa.Array, tmp_path: Path) -> None:
    assert "'label'" in refusal(shard(tmp_path, {"img": images(PLAIN), "label": label}))


@pytest.mark.usefixtures("columns_here")
def test_a_path_that_is_no_text_is_not_looked_at(tmp_path: Path) -> None:
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.binary())])
    column = pa.array([{"bytes": PLAIN, "path": b"\xff\xfe"}], kind)
    assert decode(shard(tmp_path, {"img": column, "label": pa.array([0])})).shape == (1, *SHAPE)


# --- small files with large bills


def in_columns(folder: Path, images: list[bytes], encoding: str) -> Path:
    """Write a file whose values are stored once and stand in many rows."""
    path = folder / "train.parquet"
    kind = pa.struct([("bytes", pa.binary())])
    column = pa.array([{"bytes": image} for image in images], kind)
    options: dict[str, Any] = {"use_dictionary": ["img.bytes"]}
    if encoding != "DICTIONARY":
        options = {"use_dictionary": False, "column_encoding": {"img.bytes": encoding}}
    labels = pa.array([0] * len(images), pa.int64())
    pq.write_table(
        pa.table({"img": column, "label": labels}), path, compression="zstd",
        write_statistics=False, dictionary_pagesize_limit=2**30, data_page_size=2**30, **options,
    )  # fmt: skip
    return path


_READ = """
import sys
from kdgap import columns
sent = 0
class Out:
    closed = False
    def write(self, content):
        global sent
        sent += len(content)
    def flush(self): pass
columns.MAX_BYTES = int(sys.argv[2])
print(columns.main(Out(), "label", "img", sys.argv[1]), sent)
"""


def spent(path: Path, most: int = columns.MAX_BYTES) -> tuple[int, int, str]:
    """Read a file as the child does; return the bytes handed over, the peak of memory, a line."""
    cost = bill(_READ, path, most)
    code, sent = map(int, cost.out.split())
    assert code == 1
    return sent, cost.peak, cost.err


@pytest.mark.parametrize("encoding", ["DICTIONARY", "DELTA_BYTE_ARRAY", "PLAIN"])
@pytest.mark.parametrize(
    ("rows", "size", "words"),
    [(600, 2**18, "its rows unpack to"), (20, 2**22, "an image of 4,194,304 bytes")],
    ids=["many rows", "a large image"],
)
def test_a_small_file_that_unpacks_to_a_large_one_is_refused(
    tmp_path: Path, encoding: str, rows: int, size: int, words: str
) -> None:
    path = in_columns(tmp_path, [bytes(size)] * rows, encoding)
    assert path.stat().st_size < 2**16
    sent, peak, line = spent(path, most=2**25)
    assert words in line
    assert sent <= 2**25
    assert peak < 2**30


def test_one_value_in_many_rows_is_refused(tmp_path: Path) -> None:
    """20 KB that would unpack to 20 GB."""
    count, kind = 80_000, pa.int32()
    values = pa.DictionaryArray.from_arrays(pa.array(np.zeros(count), kind), [bytes(2**18)])
    column = pa.StructArray.from_arrays([values], ["bytes"])
    table = pa.table({"img": column, "label": pa.array(np.zeros(count), kind)})
    path = tmp_path / "train.parquet"
    pq.write_table(table, path, store_schema=False, write_statistics=False)
    assert path.stat().st_size < 2**15
    sent, peak, line = spent(path)
    assert sent <= columns.MAX_BYTES
    assert peak < 2**30
    assert "its rows unpack to" in line
    assert "its rows unpack to" in refusal(path)


def lying_page(folder: Path) -> Path:
    """Write a file whose first page says that it unpacks to 2 GiB; its footer tells the truth."""
    path = in_columns(folder, [bytes(2**27)] + [PLAIN] * 200, "PLAIN")
    content = bytearray(path.read_bytes())
    # Field 2 of a page's head (Thrift's compact form): five bytes, as many as 2**31 - 1 takes.
    assert content[4:7] == b"\x15\x00\x15"
    assert content[12] == 0x15
    content[7:12] = b"\xfe\xff\xff\xff\x0f"
    path.write_bytes(content)
    return path


def test_a_page_that_lies_about_its_size_takes_no_memory(tmp_path: Path) -> None:
    path = lying_page(tmp_path)
    assert path.stat().st_size < 2**16
    sent, peak, line = spent(path)
    assert sent < 2**10
    assert peak < 2**29
    assert "needs more than 2 GiB of memory" in line
    assert "needs more than 2 GiB of memory" in refusal(path)


def test_rows_without_images_are_counted_too(tmp_path: Path) -> None:
    kind = pa.struct([("bytes", pa.binary())])
    count = columns.MAX_ROWS + 1
    table = pa.table({"img": pa.nulls(count, kind), "label": pa.array(np.zeros(count, np.int64))})
    pq.write_table(table, tmp_path / "rows.parquet", compression="zstd")
    assert (tmp_path / "rows.parquet").stat().st_size < 2**17
    assert "1,000,000 rows are read" in refusal(tmp_path / "rows.parquet")


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "was ended by SIGSEGV"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGXCPU)", "within 600 s of computing"),
        ("raise SystemExit(7)", "ended with exit code 7"),
    ],
)
def test_a_reader_that_is_ended_is_one_line(
    tmp_path: Path, code: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = shard(tmp_path, {"img": images(PLAIN), "label": pa.array([0])})
    monkeypatch.setattr(child, "command", lambda *_: [sys.executable, "-c", code])
    assert words in refusal(path)
    with pytest.raises(BadInputError, match=words):
        decode(path)


def test_the_child_bounds_its_computing() -> None:
    """The bound is set before a file is opened, and never loosened."""
    code = (
        "import io; from resource import *; from kdgap import columns;"
        "columns.main(io.BytesIO(), 'label', '');"
        "print(getrlimit(RLIMIT_CPU)[0], getrlimit(RLIMIT_AS)[0])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    seconds, memory = map(int, done.stdout.split())
    assert 0 < seconds <= columns.MAX_SECONDS
    assert sys.platform == "darwin" or 0 < memory <= columns.MAX_MEMORY


def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "train.parquet")
    assert "not a regular file" in refusal(tmp_path / "train.parquet")


@pytest.mark.usefixtures("columns_here")
@pytest.mark.parametrize(
    "names",
    [["\ud800", "b"], ["a\0b", "c"], 7, None],
    ids=["half a character", "NUL", "number", "null"],
)
def test_class_names_that_are_no_text_are_no_names(names: object, tmp_path: Path) -> None:
    path = shard(tmp_path, {"img": images(PLAIN), "label": pa.array([0])}, names=names)
    assert class_names(path) is None


def test_class_names_nested_without_end_are_no_names(tmp_path: Path) -> None:
    path = tmp_path / "deep.parquet"
    about = {"huggingface": "[" * 100_000}
    pq.write_table(pa.table({"label": pa.array([0])}).replace_schema_metadata(about), path)
    assert class_names(path) is None


_WHOLE: list[bytes] = []


@given(
    damage=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=6),
    keep=st.floats(0, 1) | st.just(1.0),
)
def test_any_parquet_file_is_images_or_one_line(
    damage: list[tuple[float, int]], keep: float, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("any")
    if not _WHOLE:
        pair = {"img": images(PLAIN, PLAIN), "label": pa.array([0, 1])}
        _WHOLE.append(shard(folder, pair).read_bytes())
    content = bytearray(_WHOLE[0])
    for place, value in damage:
        content[int(place * (len(content) - 1))] = value
    path = folder / "any.parquet"
    path.write_bytes(content[: round(keep * len(content))])
    message = ""
    try:  # in this process: a child for each would take minutes
        assert columns.describe(path, "label")["rows"] >= 0
        assert sum(map(len, columns.read(path, "img", "label"))) > 0
    except BadInputError as error:
        message = str(error)
        assert message
    assert "\n" not in message
