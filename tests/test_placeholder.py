"""A file that only stands for another is said to be that, whoever meets it."""

import io
from collections.abc import Callable
from pathlib import Path

import pytest

from kdgap.data.dataset import Request
from kdgap.data.parquet import described
from kdgap.data.pixels import exact, fitted
from kdgap.data.sets.cifar import cifar10
from kdgap.placeholder import placeholder
from kdgap.running.conversion import convert_checkpoint
from kdgap.running.trained_on import TrainedOn
from kdgap.spec.model import ModelSpec
from kdgap.store.card import read_card
from kdgap.store.imports.foreign import read_foreign
from kdgap.store.imports.source_files import PassedOver

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 46830571\n"
PAGES = [
    b"<!DOCTYPE html>\n<html><body>Sign in</body></html>",
    b"\xef\xbb\xbf  \r\n<HTML lang=en>",
    b'<?xml version="1.0"?>\n<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0">\n<html>',
]


@pytest.mark.parametrize("head", PAGES)
def test_a_web_page_is_known(head: bytes) -> None:
    assert placeholder(head).startswith("is a web page: download")


@pytest.mark.parametrize(
    "head",
    [b"", b"version 2", b"{}", b"<svg></svg>", b'<?xml version="1.0"?><svg/>', b"\x89PNG", b"PK"],
)
def test_what_is_its_own_file_is_none(head: bytes) -> None:
    assert placeholder(head) == ""


def _convert(path: Path) -> object:
    on = TrainedOn("digits", mean=(0.0,), std=(1.0,))
    return convert_checkpoint(path, ModelSpec(name="resnet8"), on, path.with_name("out"))


def _binary(path: Path) -> object:
    for name in ("data_batch_1.bin", "test_batch.bin"):
        path.with_name(name).write_bytes(path.read_bytes())
    return cifar10(Request(path.parent, None))


def _imported(path: Path) -> object:
    return read_foreign(path, PassedOver())


def _result(path: Path) -> object:
    (path.parent / "run").mkdir()
    (path.parent / "run" / "results.json").write_bytes(path.read_bytes())
    return read_foreign(path.parent / "run", PassedOver())


READERS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "convert a pickle": ("model.pth", _convert),
    "convert safetensors": ("model.safetensors", _convert),
    "weights": ("model.safetensors", read_card),
    "weights that are called a pickle": ("model.pth", read_card),
    "parquet": ("train-00000-of-00001.parquet", lambda path: described([path], "label")),
    "binary": ("part.bin", _binary),
    "a zip": ("runs.zip", _imported),
    "a tar": ("runs.tar", _imported),
    "a result file": ("x.json", _result),
    "an image file": ("1.png", lambda path: fitted(io.BytesIO(path.read_bytes()), 8)),
    "an image in parquet": ("1.png", lambda path: exact(path.read_bytes(), (3, 8, 8))),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(
    ("content", "message"),
    [(POINTER, "is a Git LFS pointer: `git lfs pull`"), (PAGES[0] * 99, "is a web page: download")],
    ids=["pointer", "page"],
)
def test_each_reader_says_what_it_met(
    tmp_path: Path, reader: str, content: bytes, message: str
) -> None:
    name, read = READERS[reader]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read(tmp_path / name)
