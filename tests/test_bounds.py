"""The page of bounds says what the code does."""

import re
from pathlib import Path

import pytest

from kdgap import columns, yamlio
from kdgap.data import pixels, tars
from kdgap.data.sets import cifar
from kdgap.explorer import connections
from kdgap.running import conversion
from kdgap.shipping import archive, graph, onnx_file
from kdgap.store import checkpoint, pickled, tensorfile, unpickle
from kdgap.store.imports import archives, gate, source_files, sources

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "bounds.md").read_text()
ROWS = {line.split("|")[1].strip(): line for line in PAGE.splitlines() if line.startswith("| ")}
KIB, MIB, GIB = 2**10, 2**20, 2**30
BOUNDS = {
    "YAML": (f"{yamlio.MAX_BYTES:,} bytes", f"{yamlio.MAX_DEPTH} levels"),
    "result files (JSON)": (
        f"{source_files.MOST_FILE_BYTES / MIB:g} MiB a file",
        f"{source_files.MOST_BYTES / GIB:g} GiB in all",
        f"{source_files.MOST_FILES:,} files", f"{gate.MOST_VALUES:,} values a file",
        f"{source_files.MOST_IN_MEMORY:,} in all", f"{gate.MOST_SETTINGS:,} settings",
        f"{gate._DEEPEST} levels", f"{gate.MOST_REMARKS} remarks",
    ),
    "folders of an import": (f"{sources.MOST_NAMES:,} names",),
    "zip, tar, tar.gz of an import": (
        f"{archives.MOST_LIST_BYTES / MIB:g} MiB of a zip's list",
        f"{archives.MOST_UNPACKED / GIB:g} GiB of a tar.gz",
        f"{archives.MOST_LZMA_BYTES / MIB:g} MiB for LZMA", f"{archives.MOST_MEMBERS:,} members",
    ),
    "safetensors": (
        f"header of {tensorfile.MAX_HEADER / MIB:g} MiB", f"{tensorfile.MAX_TENSORS:,} tensors",
    ),
    "pickles of checkpoints": (
        f"{unpickle._MAX_PICKLE / MIB:g} MiB in an archive", f"{pickled.MAX_OPCODES:,} opcodes",
        f"{checkpoint._MAX_PARTS:,} parts", f"{tensorfile.MAX_TENSORS:,} tensors",
        f"{checkpoint._MAX_DEPTH} steps and {checkpoint.MAX_NAME} characters",
        f"{checkpoint._MAX_ENCODED / MIB:g} MiB of tensors encoded",
        f"{unpickle.MAX_MEMORY / GIB:g} GiB, {conversion.SECONDS} s",
    ),
    "`.pt2` archives": (
        f"{archive.MOST_BYTES / GIB:g} GiB", f"{archive.MOST_TEXT / MIB:g} MiB a document",
        f"{archive.MOST_MEMBERS:,} members", f"{graph.MOST_DIMENSIONS} dimensions",
    ),
    "ONNX": (f"{onnx_file.MOST_BYTES / GIB:.0f} GiB",),
    "parquet": (
        f"{columns.MAX_BYTES / MIB:g} MiB of images", f"{columns.MAX_IMAGE / MIB:g} MiB an image",
        f"{columns.MAX_ROWS:,} rows", f"of your own {columns.OWN_ROWS:,}",
        f"of your own {columns.OWN_BYTES / GIB:g} GiB, {columns.OWN_IMAGE / MIB:g} MiB an image",
        f"{columns.OWN_TEXT:,} bytes a text", f"{columns.OWN_TEXTS / GIB:g} GiB of texts",
        f"{columns.MAX_MEMORY / GIB:g} GiB, {columns.MAX_SECONDS} s of computing",
    ),
    "tars of a webdataset": (
        f"{tars.IMAGE / MIB:g} MiB an image", f"{tars.LABEL / MIB:g} MiB a file with a label",
        f"{tars.TEXT:,} letters", f"head: {tars.HEAD / MIB:g} MiB",
    ),
    "images": (f"{pixels.PIXELS_AT_MOST:,} pixels", f"{pixels.SCANS_AT_MOST} scans"),
    "CIFAR's binary files": (
        f"{cifar._IMAGES_AT_MOST:,} images", f"{cifar._NAMES_AT_MOST:,} bytes of class names",
    ),
    "requests to the explorer": (f"head of {connections.MOST_HEAD_BYTES / KIB:g} KiB",),
}  # fmt: skip


@pytest.mark.parametrize("reader", BOUNDS)
def test_each_bound_is_the_one_in_force(reader: str) -> None:
    missing = [bound for bound in BOUNDS[reader] if bound not in ROWS[reader]]
    assert missing == []


def test_every_reader_has_a_row_and_tests() -> None:
    assert set(ROWS) == {"reader", *BOUNDS}
    named = {name for row in ROWS.values() for name in re.findall(r"`(test_\w+)`", row)}
    assert named <= {path.stem for path in (ROOT / "tests").rglob("test_*.py")}
    assert all("`test_" in ROWS[reader] for reader in BOUNDS)


def test_the_formats_are_those_that_are_decoded() -> None:
    *most, last = (form.replace("WEBP", "WebP") for form in pixels.FORMATS)
    assert f"Only {', '.join(most)} and {last} are decoded" in PAGE
