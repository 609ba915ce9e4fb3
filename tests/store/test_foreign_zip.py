"""A damaged zip costs the files that are damaged; names in it are only text."""

import warnings
import zipfile
from collections import Counter
from pathlib import Path

import pytest

from kdgap import disk
from kdgap.errors import BadInputError
from kdgap.store.imports.imported import import_runs
from tests.store.foreign_files import FIDELITY, FINAL, findings, history, write

METHODS = [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]


def packed(tmp_path: Path, method: int = zipfile.ZIP_DEFLATED) -> Path:
    for seed in (0, 1):
        write(tmp_path / "tree", FINAL.replace("seed0", f"seed{seed}"), seed=seed)
    target = tmp_path / "tree.zip"
    with zipfile.ZipFile(target, "w", method) as archive:
        for path in sorted((tmp_path / "tree").rglob("*.json")):
            archive.write(path, path.relative_to(tmp_path / "tree"))
    return target


@pytest.mark.parametrize("method", METHODS)
def test_a_flipped_byte_costs_one_file_or_the_zip_is_refused(tmp_path: Path, method: int) -> None:
    """Every byte of the archive in turn: no error but ours, and never a changed number."""
    source = packed(tmp_path, method)
    whole, known = source.read_bytes(), {run["sha256"][0] for run in import_runs(source, "x")[1]}
    seen: Counter[str] = Counter()
    for index in range(len(whole)):
        broken = bytearray(whole)
        broken[index] ^= 0xFF
        source.write_bytes(broken)
        try:
            about, runs = import_runs(source, "x")
        except BadInputError:
            seen["refused"] += 1
            continue
        assert {run["sha256"][0] for run in runs} <= known
        if len(runs) < 2 and about["files"] == 2:
            reasons = ("damaged in the zip", "encrypted", "packed in a way", "bytes; a result file")
            assert any(reason in findings(about, "unreadable")[0]["text"] for reason in reasons)
            seen["named"] += 1
        elif len(runs) < 2:  # its name or kind is another one now, which is named as well
            assert findings(about, "passed") or about["other_files"]
    assert seen["named"] > 100


def test_a_torn_zip_is_refused(tmp_path: Path) -> None:
    source = packed(tmp_path)
    source.write_bytes(source.read_bytes()[:-30])
    with pytest.raises(BadInputError, match="no readable zip"):
        import_runs(source, "x")


def test_names_with_backslashes_are_found(tmp_path: Path) -> None:
    content = write(tmp_path / "tree", FINAL, fidelity=FIDELITY)
    with zipfile.ZipFile(tmp_path / "windows.zip", "w") as archive:
        for name in ("results.json", "fidelity.json"):
            archive.write(content.with_name(name), f"runs\\final\\a\\seed0\\{name}")
    about, (run,) = import_runs(tmp_path / "windows.zip", "x")
    assert run["paths"] == ["runs/final/a/seed0/results.json"]
    assert run["fidelity"] is not None
    assert about["findings"] == []


@pytest.mark.parametrize("same", [True, False])
def test_two_members_of_one_name_count_only_if_they_are_one_file(
    tmp_path: Path, same: bool
) -> None:
    first = write(tmp_path / "a", FINAL).read_bytes()
    second = first if same else write(tmp_path / "b", FINAL, history=history(0.5)).read_bytes()
    with warnings.catch_warnings(), zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        warnings.simplefilter("ignore", UserWarning)
        for content in (first, second):
            archive.writestr(f"{FINAL}/results.json", content)
        archive.writestr(
            f"{FINAL}-1/results.json", write(tmp_path / "c", FINAL, seed=1).read_bytes()
        )
    about, runs = import_runs(tmp_path / "x.zip", "x")
    assert len(runs) == 1 + same
    texts = [finding["text"] for finding in findings(about, "unreadable")]
    assert texts == (
        [] if same else ["two files of this name in the archive differ; neither counts"]
    )


def test_a_file_that_may_not_be_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, FINAL)
    locked = write(tmp_path, FINAL.replace("seed0", "seed1"), seed=1)
    real = disk.current.open

    def refuse(path: Path, flags: int) -> int:
        if path == locked:
            raise PermissionError(13, "Permission denied")
        return real(path, flags)

    monkeypatch.setattr(disk.current, "open", refuse)
    about, runs = import_runs(tmp_path, "x")
    assert len(runs) == 1
    assert findings(about, "unreadable")[0]["text"] == "Permission denied"
