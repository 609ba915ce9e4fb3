"""A table becomes a data set, or one line says which row is wrong."""

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from kdgap import columns
from kdgap.data import DATASETS, Dataset, Request, load_dataset
from kdgap.errors import BadInputError

SIZE = 8
ROWS = [("a/1.png", "bee"), ("a/2.png", "ant"), ("b/3.png", "bee"), ("b/4.png", "ant")]
ROWS += [("b/5.png", "bee"), ("b/6.png", "ant")]
Row = tuple[str, ...]


def noise(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)


def png(seed: int) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(noise(seed)).save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Six images, and beside the folder one that is not its own."""
    folder = tmp_path / "photos"
    for number, (path, _) in enumerate(ROWS, 1):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(png(number))
    (tmp_path / "secret.png").write_bytes(png(0))
    return folder


def write(root: Path, text: str) -> Path:
    (root / "manifest.csv").write_text(text)
    return root


def csv_of(rows: Sequence[Row], head: str = "path,label") -> str:
    return "".join(f"{line}\n" for line in (head, *(",".join(row) for row in rows)))


def with_split(*splits: str) -> list[Row]:
    return [(*row, split) for row, split in zip(ROWS, splits, strict=True)]


SPLIT = with_split("train", "train", "Train", "training", "test", "test")
HEAD = "path,label,split"


def load(root: Path, size: int | None = SIZE, **asked: Any) -> Dataset:
    return load_dataset("manifest", Request(root, size, **asked))


def refusal(root: Path) -> str:
    """Return the one line with which a manifest is refused, before any image is decoded."""
    survey = DATASETS["manifest"].survey
    assert survey is not None
    with pytest.raises(BadInputError) as caught:
        survey(Request(root, SIZE))
    if not list(root.rglob("*.parquet")):  # which is read by processes that take long to start
        with pytest.raises(BadInputError) as again:
            load(root)
        assert str(again.value) == str(caught.value)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def of(*seeds: int) -> np.ndarray:
    return np.stack([noise(seed).transpose(2, 0, 1) for seed in seeds])


def check(dataset: Dataset) -> None:
    """See that a data set is that of `SPLIT`."""
    assert dataset.classes == ("ant", "bee")
    assert np.array_equal(dataset.train.pixels.numpy(), of(1, 2, 3, 4))
    assert dataset.train.labels.tolist() == [1, 0, 1, 0]
    assert np.array_equal(dataset.test.pixels.numpy(), of(5, 6))
    assert dataset.test.labels.tolist() == [1, 0]


# --- CSV


@pytest.mark.parametrize("sign", [",", ";", "\t"])
@pytest.mark.parametrize("head", [HEAD, "Label,Split,File_Name"])
def test_a_csv_names_images_labels_and_parts(sign: str, head: str, root: Path) -> None:
    rows = SPLIT if head == HEAD else [(label, part, path) for path, label, part in SPLIT]
    write(root, csv_of(rows, head).replace(",", sign))
    check(load(root))
    check(load(root / "manifest.csv", None))


def test_any_name_and_a_mark_at_the_beginning_are_read(root: Path) -> None:
    text = csv_of(SPLIT, HEAD).replace("\n", "\r\n")
    (root / "my labels.csv").write_bytes(b"\xef\xbb\xbf" + text.encode())
    check(load(root / "my labels.csv"))


def test_numbers_are_classes_in_their_order(root: Path) -> None:
    rows = [(path, {"bee": "10", "ant": "9"}[label], part) for path, label, part in SPLIT]
    dataset = load(write(root, csv_of(rows, HEAD)))
    assert dataset.classes == ("9", "10")
    assert dataset.test.labels.tolist() == [1, 0]


@pytest.mark.parametrize("split", [None, ["train"] * 6])
def test_without_test_images_some_are_set_apart(split: list[str] | None, root: Path) -> None:
    text = csv_of(with_split(*split), HEAD) if split else csv_of(ROWS)
    dataset = load(write(root, text))
    assert (len(dataset.train), sorted(dataset.test.labels.tolist())) == (4, [0, 1])
    assert dataset.split is not None


def test_validation_images_and_repeated_rows_are_left_out(root: Path) -> None:
    (root / "b" / "7.png").write_bytes(png(7))
    rows = [*SPLIT, ("b/7.png", "ant", "validation"), SPLIT[0]]
    dataset = load(write(root, csv_of(rows, HEAD)))
    check(dataset)
    names = sorted(name for left in dataset.left_out or () for name in left.names)
    assert names == [f"{root}/manifest.csv, line {line}" for line in (8, 9)]


def test_validation_images_are_tested_on_where_there_are_no_others(root: Path) -> None:
    rows = [(*row[:2], "val" if row[2] == "test" else row[2]) for row in SPLIT]
    check(load(write(root, csv_of(rows, HEAD))))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (
            ("../secret.png", "ant"),
            "line 8: '../secret.png' names no file in the manifest's",
        ),
        (("/etc/passwd", "ant"), "line 8: '/etc/passwd' names no file in"),
        (("link.png", "ant"), "line 8: 'link.png' names no file in"),
        (("a/../../secret.png", "ant"), "names no file in the manifest's folder"),
        (("a/../b/3.png", "ant"), "names no file in the manifest's folder"),
        (("", "ant"), "line 8: '' names no file in"),
        ((".", "ant"), "line 8: '.' names no file in"),
        (("a/1.png", ""), "line 8: no label"),
        (("a/1.png", "ant"), "line 8: a/1.png is in another class already"),
        (("a/1.png",), "line 8: 1 values, but the head names 2 columns"),
        (("b/7.png", "wasp"), "class 'wasp' has one image"),
    ],
)
def test_a_row_that_cannot_be_used_is_named(line: Row, words: str, root: Path) -> None:
    (root / "link.png").symlink_to(root.parent / "secret.png")
    assert words in refusal(write(root, csv_of([*ROWS, line])))


@pytest.mark.parametrize(
    ("last", "words"),
    [
        (("b/7.png", "wasp", "test"), "class 'wasp' has no training image"),
        (("b/7.png", "wasp", "train"), "class 'wasp' has no test image"),
        (("b/7.png", "ant", "tset"), "line 8: split 'tset'"),
        (("a/1.png", "bee", "test"), "line 8: a/1.png is in another part already"),
        (("b/7.png", "ant", ""), "line 8: split ''"),
    ],
)
def test_a_part_that_does_not_fit_is_named(last: Row, words: str, root: Path) -> None:
    assert words in refusal(write(root, csv_of([*SPLIT, last], HEAD)))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no row in it"),
        ("path,label\n", "no row in it"),
        ("where,label\na,b\n", "no column of images: it has where, label; expected one called"),
        ("path,labl\na,b\n", "no column of labels"),
        ("path,label,label\na,b,c\n", "column 'label' is there twice"),
        ('path,label\n"a,b\n', "line 2: "),
        (csv_of([(path, "ant") for path, _ in ROWS]), "has one class ('ant')"),
        (csv_of([(path, "-1") for path, _ in ROWS]), "label -1 is out of range: 0 and above"),
    ],
)
def test_a_table_that_cannot_be_used_is_named(text: str, words: str, root: Path) -> None:
    assert words in refusal(write(root, text))


def test_what_is_no_text_or_not_there_is_named(root: Path) -> None:
    assert "looked for a CSV or parquet file, manifest.csv or" in refusal(root)
    (root / "manifest.csv").write_bytes(b"path,label\n\xff\xfe\x00")
    assert "is no text in UTF-8" in refusal(root)


def test_a_file_that_is_missing_is_named_or_skipped(root: Path) -> None:
    write(root, csv_of([*SPLIT, ("b/7.png", "ant", "train")], HEAD))
    with pytest.raises(BadInputError, match=r"b/7\.png: No such file"):
        load(root)
    dataset = load(root, skip_broken=True)
    check(dataset)
    assert [left.names for left in dataset.left_out or ()] == [("b/7.png",)]


# --- parquet


def encoded(*seeds: int) -> list[dict[str, Any]]:
    return [{"bytes": png(seed), "path": None} for seed in seeds]


@pytest.mark.parametrize(
    "columns",
    [
        {"image": encoded(*range(1, 7))},
        {"img": [png(seed) for seed in range(1, 7)]},
        {"path": [path for path, _ in ROWS]},
        {"path": pa.array([path for path, _ in ROWS]).dictionary_encode()},
    ],
    ids=["structs", "bytes", "paths", "categories"],
)
def test_a_parquet_file_names_or_holds_images(columns: dict[str, Any], root: Path) -> None:
    labels = pa.array([label for _, label in ROWS])
    labels = labels.cast(pa.large_string()) if "img" in columns else labels.dictionary_encode()
    split = [row[2] for row in SPLIT]
    pq.write_table(pa.table({**columns, "label": labels, "split": split}), root / "x.parquet")
    check(load(root / "x.parquet", None))


def hub(root: Path, name: str, labels: list[int], seeds: list[int], names: list[str]) -> None:
    """Write a file as the hub has them, with two columns of labels."""
    about = {"info": {"features": {"fine_label": {"names": names, "_type": "ClassLabel"}}}}
    table = pa.table(
        {"img": encoded(*seeds), "fine_label": labels, "coarse_label": [0] * len(labels)}
    ).replace_schema_metadata({b"huggingface": json.dumps(about).encode()})
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, root / name)


NAMES = ["ant", "bee"]


@pytest.mark.usefixtures("columns_here")
@pytest.mark.parametrize("folder", ["", "data/"])
def test_the_shards_of_the_hub_are_read_as_a_whole(folder: str, tmp_path: Path) -> None:
    hub(tmp_path, f"{folder}train-00000-of-00002.parquet", [1, 0], [1, 2], NAMES)
    hub(tmp_path, f"{folder}train-00001-of-00002-abc.parquet", [1, 0], [3, 4], NAMES)
    hub(tmp_path, f"{folder}test-00000-of-00001.parquet", [1, 0], [5, 6], NAMES)
    hub(tmp_path, f"{folder}validation-00000-of-00001.parquet", [1], [7], NAMES)
    check(load(tmp_path))
    (tmp_path / folder / "train-00000-of-00002.parquet").unlink()
    assert "number 00000 is missing" in refusal(tmp_path)


@pytest.mark.usefixtures("columns_here")
def test_files_of_any_other_name_are_taken_together(tmp_path: Path) -> None:
    hub(tmp_path, "0000.parquet", [1, 0, 1], [1, 2, 3], NAMES)
    hub(tmp_path, "0001.parquet", [0, 1, 0], [4, 5, 6], NAMES)
    dataset = load(tmp_path)
    assert (dataset.classes, len(dataset.train), len(dataset.test)) == (("ant", "bee"), 4, 2)


@pytest.mark.usefixtures("columns_here")
@pytest.mark.parametrize("label", [2, -1])
def test_a_label_out_of_range_is_named(label: int, tmp_path: Path) -> None:
    hub(tmp_path, "all.parquet", [1, label], [1, 2], NAMES)
    words = f"all.parquet, row 1: label {label} is out of range: 0 to 1"
    assert words in refusal(tmp_path)


@pytest.mark.usefixtures("columns_here")
def test_files_that_name_other_classes_are_refused(tmp_path: Path) -> None:
    hub(tmp_path, "train.parquet", [1, 0], [1, 2], NAMES)
    hub(tmp_path, "test.parquet", [1, 0], [3, 4], ["bee", "ant"])
    assert "names other classes than another of its files" in refusal(tmp_path)


@pytest.mark.usefixtures("columns_here")
def test_a_class_of_the_schema_without_an_image_is_named(tmp_path: Path) -> None:
    for number, part in enumerate(("train", "test")):
        hub(tmp_path, f"{part}.parquet", [1, 0], [number, number + 2], [*NAMES, "wasp"])
    assert "class 'wasp' has no training image" in refusal(tmp_path)


@pytest.mark.usefixtures("columns_here")
def test_a_file_that_does_not_say_its_part_beside_others_is_named(tmp_path: Path) -> None:
    hub(tmp_path, "train.parquet", [1, 0], [1, 2], NAMES)
    hub(tmp_path, "other.parquet", [1, 0], [3, 4], NAMES)
    assert "'other.parquet' does not say its part" in refusal(tmp_path)


@pytest.mark.usefixtures("columns_here")
@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"image": [1], "label": [1]}, "column 'image' holds no encoded images or paths"),
        ({"image": [b"x"], "label": [1.5]}, "column 'label' holds no labels"),
        ({"image": [b"x"], "label": [1], "split": [1]}, "column 'split' holds no splits"),
        ({"image": [b"x"], "label": pa.array([None], pa.int64())}, "column 'label' lacks 1 values"),
        ({"image": pa.array([], pa.binary()), "label": pa.array([], pa.int64())}, "0 rows"),
        ({"label": [1]}, "no column of images: it has label"),
    ],
)
def test_columns_of_another_kind_are_refused(
    columns: dict[str, Any], words: str, tmp_path: Path
) -> None:
    pq.write_table(pa.table(columns), tmp_path / "manifest.parquet")
    message = refusal(tmp_path)
    assert words in message
    assert message.startswith(f"{tmp_path / 'manifest.parquet'}: ")


def test_what_is_no_parquet_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "manifest.parquet").write_bytes(b"PAR1 and nothing")
    assert refusal(tmp_path).startswith(f"{tmp_path / 'manifest.parquet'}: not a parquet file")


@pytest.mark.usefixtures("columns_here")
def test_a_broken_image_in_a_row_is_named_or_skipped(tmp_path: Path) -> None:
    table = pa.table({"image": [png(1), b"no", png(3), None], "label": ["a", "a", "b", "a"]})
    pq.write_table(table, tmp_path / "train.parquet")
    pq.write_table(table, tmp_path / "test.parquet")
    with pytest.raises(BadInputError, match=r"4 images cannot be used: .*image in row 1, .*row 3"):
        load(tmp_path)
    dataset = load(tmp_path, skip_broken=True)
    assert (dataset.train.labels.tolist(), dataset.test.labels.tolist()) == ([0, 1], [0, 1])
    (left,) = dataset.left_out or ()
    assert left.names[0] == "test.parquet row 1"


def test_a_decompression_bomb_is_refused_before_it_is_decoded(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(root, csv_of(SPLIT, HEAD))
    monkeypatch.setattr("kdgap.data.pixels.PIXELS_AT_MOST", 63)
    monkeypatch.setattr("kdgap.data.pixels.to_rgb", lambda _: pytest.fail("decoded"))
    with pytest.raises(BadInputError, match="has 8 x 8 pixels, more than 63"):
        load(root)
    monkeypatch.setattr("PIL.Image.MAX_IMAGE_PIXELS", 31)  # twice as many, and the library refuses
    with pytest.raises(BadInputError, match=r"5\.png.*: has more than 63 pixels; repair"):
        load(root)


def test_an_absolute_path_is_refused_with_what_to_write(root: Path) -> None:
    lines = [f"{root / path},{label}" for path, label in ROWS]
    (root / "manifest.csv").write_text("\n".join(["path,label", *lines]) + "\n")
    with pytest.raises(BadInputError, match=r"is an absolute path; .* folder: a/1\.png"):
        load_dataset("manifest", Request(root))


@pytest.mark.parametrize("column", ["label", "path", "split"])
def test_a_long_text_that_a_page_repeats_for_nothing_is_refused(
    column: str, tmp_path: Path
) -> None:
    rows = {"path": "a.png", "label": "ant", "split": "train"} | {column: "x" * 5_000}
    table = pa.table({name: [text] * 300 for name, text in rows.items()})
    pq.write_table(table, tmp_path / "manifest.parquet", compression="zstd")
    assert "a text of 5,000 bytes; at most 4,096" in refusal(tmp_path)


def test_all_texts_together_are_bounded_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(columns, "OWN_TEXTS", 28_000)
    path = tmp_path / "manifest.parquet"
    pq.write_table(pa.table({"path": ["a.png"] * 600, "label": ["x" * 30] * 600}), path)
    with pytest.raises(BadInputError, match="or 28,000 of texts"):
        list(columns.table(path, "path", "label", ""))
    assert len(list(columns.table(path, "", "label", ""))) > 1


def test_a_class_name_with_a_zero_byte_is_refused(root: Path) -> None:
    """In a cache file class names are kept apart by it: read back, it would be two classes."""
    write(root, csv_of([(path, name.replace("bee", "be\0e")) for path, name in ROWS]))
    assert "line 2: a label with a zero byte in it" in refusal(root)


def test_images_in_a_file_go_before_paths_of_where_they_once_lay(root: Path) -> None:
    columns = {"path": [f"gone/{n}.png" for n in range(6)], "image": encoded(*range(1, 7))}
    labels, split = [label for _, label in ROWS], [row[2] for row in SPLIT]
    pq.write_table(pa.table({**columns, "label": labels, "split": split}), root / "x.parquet")
    check(load(root / "x.parquet"))


def test_an_image_of_no_bytes_is_named_as_empty(root: Path) -> None:
    images = [*encoded(1, 2, 3, 4), {"bytes": None, "path": "a"}, {"bytes": b"", "path": "b"}]
    labels = [label for _, label in ROWS]
    pq.write_table(pa.table({"image": images, "label": labels}), root / "x.parquet")
    with pytest.raises(BadInputError, match=r"row 4, .* row 5: is empty; .*data: --skip-broken\)"):
        load(root / "x.parquet")


def test_whole_numbers_with_a_decimal_point_are_whole_numbers(root: Path) -> None:
    """As a table writes a column of numbers that once had a gap; other decimals are texts."""
    rows = [(path, {"bee": "10.0", "ant": "9.0"}[label], part) for path, label, part in SPLIT]
    dataset = load(write(root, csv_of(rows, HEAD)))
    assert dataset.classes == ("9", "10")
    assert dataset.test.labels.tolist() == [1, 0]
    rows = [(path, {"10.0": "10.5"}.get(label, label), part) for path, label, part in rows]
    assert load(write(root, csv_of(rows, HEAD))).classes == ("10.5", "9.0")
