"""A parquet file gives pixels by the same table as image files, or one line that names it."""

import io
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from kdgap.data import parquet
from kdgap.data.parquet import class_names, count_rows, decode_shards
from kdgap.errors import BadInputError

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
    class_names(path, "label")
    assert count_rows([path]) >= 0
    return decode(path)


def refusal(path: Path) -> str:
    with pytest.raises(BadInputError) as caught:
        read(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message


# --- pixels


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
    found = decode(shard(tmp_path, {"img": images(content), "label": pa.array([0])}))
    assert (found == np.array(expected).reshape(1, 3, 1, 1)).all()


def test_a_photo_is_turned(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[274] = 6  # stored on its left side
    stored = Image.new("RGB", (4, 4))
    stored.paste((255, 255, 255), (0, 0, 2, 4))
    path = shard(tmp_path, {"img": images(encoded(stored, exif=exif)), "label": pa.array([0])})
    assert decode(path)[0, 0].tolist() == [[255] * 4] * 2 + [[0] * 4] * 2


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


def test_an_image_of_another_size_is_refused_before_it_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kdgap.data.pixels.to_rgb", lambda _: pytest.fail("decoded"))
    content = encoded(Image.new("1", (9000, 9000)))
    path = shard(tmp_path, {"img": images(content), "label": pa.array([0])})
    assert "is 9000x9000, expected 4x4" in refusal(path)


# --- files


@pytest.mark.parametrize("twice", ["img", "label"])
def test_a_column_that_is_there_twice_is_refused(twice: str, tmp_path: Path) -> None:
    arrays = {"img": images(PLAIN), "label": pa.array([0])}
    table = pa.Table.from_arrays([*arrays.values(), arrays[twice]], [*arrays, twice])
    pq.write_table(table, tmp_path / "twice.parquet")
    assert f"has more than one column {twice!r}" in refusal(tmp_path / "twice.parquet")


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


def test_a_path_that_is_no_text_is_not_looked_at(tmp_path: Path) -> None:
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.binary())])
    column = pa.array([{"bytes": PLAIN, "path": b"\xff\xfe"}], kind)
    assert decode(shard(tmp_path, {"img": column, "label": pa.array([0])})).shape == (1, *SHAPE)


def test_a_small_file_that_unpacks_to_a_large_one_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = shard(tmp_path, {"img": images(bytes(2**25)), "label": pa.array([0])})
    assert path.stat().st_size < 2**21
    monkeypatch.setattr(parquet, "exact", lambda *_: pytest.fail("decoded"))
    assert "unpack to 33,5" in refusal(path)


def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "train.parquet")
    assert "not a regular file" in refusal(tmp_path / "train.parquet")


@pytest.mark.parametrize(
    "names",
    [["\ud800", "b"], ["a\0b", "c"], 7, None],
    ids=["half a character", "NUL", "number", "null"],
)
def test_class_names_that_are_no_text_are_no_names(names: object, tmp_path: Path) -> None:
    path = shard(tmp_path, {"img": images(PLAIN), "label": pa.array([0])}, names=names)
    assert class_names(path, "label") is None


def test_class_names_nested_without_end_are_no_names(tmp_path: Path) -> None:
    path = tmp_path / "deep.parquet"
    about = {"huggingface": "[" * 100_000}
    pq.write_table(pa.table({"label": pa.array([0])}).replace_schema_metadata(about), path)
    assert class_names(path, "label") is None


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
        columns = {"img": images(PLAIN, PLAIN), "label": pa.array([0, 1])}
        _WHOLE.append(shard(folder, columns).read_bytes())
    content = bytearray(_WHOLE[0])
    for place, value in damage:
        content[int(place * (len(content) - 1))] = value
    path = folder / "any.parquet"
    path.write_bytes(content[: round(keep * len(content))])
    try:
        found = read(path)
    except BadInputError as error:
        message = str(error)
    else:
        message = f"{path}: {len(found)} images"
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
