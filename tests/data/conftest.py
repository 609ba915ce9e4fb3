"""Fixtures of the tests of data sets."""

import io
from collections.abc import Iterator
from contextlib import redirect_stderr
from dataclasses import replace
from pathlib import Path
from subprocess import CompletedProcess

import pyarrow as pa
import pytest

from kdgap import columns
from kdgap.data import DATASETS, Shape, parquet, tables
from tests.data.cifar_files import TEST, TRAIN


@pytest.fixture
def small_releases(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Publish releases of a few images: what is tested here is how each layout is read.

    That the published counts are insisted on is tested in `test_named_sets.py`.
    """
    if request.node.get_closest_marker("shared_data") is None:
        for name, classes in (("cifar10", 10), ("cifar100", 100)):
            shape = Shape(classes, 3, (32, 32), TRAIN, TEST)
            entry = replace(DATASETS[name], shape=shape, balanced=False)
            monkeypatch.setitem(DATASETS._entries, name, entry)


@pytest.fixture
def columns_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parquet files are read in this process, without its bounds: for tests of what is in them.

    A process takes half a second to load Arrow. Tests of layouts, bounds and damage start it.
    """
    for bound in ("bound_memory", "bound_computing"):
        monkeypatch.setattr(columns, bound, lambda _: None)

    def run(main: object, *words: str) -> "CompletedProcess[bytes]":
        out, complaints = io.BytesIO(), io.StringIO()
        assert callable(main)
        with redirect_stderr(complaints):
            code = main(out, *words)
        return CompletedProcess(words, code, out.getvalue(), complaints.getvalue().encode())

    def answered(path: Path, *words: str) -> bytes:
        done = run(columns.own, words[0], str(path), *words[1:])
        if done.returncode:
            raise parquet.refusal(path, done.returncode, done.stderr)
        return done.stdout

    def batches(path: Path, *names: str) -> Iterator[pa.RecordBatch]:
        with pa.ipc.open_stream(answered(path, columns.TABLE, *names)) as stream:
            yield from stream

    monkeypatch.setattr(parquet, "_read", lambda *words: run(columns.main, *words))
    monkeypatch.setattr(tables, "_answer", answered)
    monkeypatch.setattr(tables, "_batches", batches)
