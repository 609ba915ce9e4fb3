"""What a run's page shows of its directory: its own files, whatever happens to them meanwhile."""

import errno
import json
import os
from pathlib import Path

import pytest

from kdgap import disk
from kdgap.explorer.run_document import run_document
from kdgap.explorer.snapshot import take
from kdgap.store.study import PLAN
from tests.judge.test_study_evidence import BASELINE, METHOD, study


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return study(tmp_path / "study", BASELINE, METHOD).path


def run_of(path: Path) -> Path:
    return path / str(json.loads((path / PLAN).read_text())["runs"][0]["path"])


def test_every_file_is_listed_with_its_size(path: Path) -> None:
    files = run_document(take(path), 0)["files"]
    assert {file["name"]: file["bytes"] for file in files} == {
        file.name: file.stat().st_size for file in run_of(path).iterdir()
    }
    assert len(files) > 5


@pytest.mark.parametrize("name", ["run.json", "history.jsonl", "attempts.jsonl", "timing.json"])
def test_a_link_is_not_followed(path: Path, tmp_path: Path, name: str) -> None:
    secret = tmp_path / "secret.json"
    secret.write_text('{"id": "secret", "epoch": 1, "spec": {}}\n')
    snapshot, run = take(path), run_of(path)
    (run / "manifest.json").unlink()
    (run / name).unlink(missing_ok=True)
    (run / name).symlink_to(secret)
    for taken in (snapshot, take(path)):
        document = run_document(taken, 0)
        assert "secret" not in json.dumps({key: document[key] for key in ("asked", "history",
                                           "attempts", "timing", "files")})  # fmt: skip


def test_a_folder_that_became_a_link_shows_nothing_of_where_it_leads(
    path: Path, tmp_path: Path
) -> None:
    snapshot, run = take(path), run_of(path)
    run.rename(tmp_path / "elsewhere")
    run.symlink_to(tmp_path / "elsewhere")
    document = run_document(snapshot, 0)
    assert (document["files"], document["asked"], document["attempts"]) == ([], None, [])


def test_a_file_that_goes_while_it_is_looked_at_is_left_out(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot, asked = take(path), Path.lstat

    def lstat(file: Path) -> object:
        if file.name == "results.json":
            raise FileNotFoundError(file)
        return asked(file)

    monkeypatch.setattr(Path, "lstat", lstat)
    names = [file["name"] for file in run_document(snapshot, 0)["files"]]
    assert "results.json" not in names
    assert "test.json" in names


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("attempts.jsonl", "{}\n", "1 lines are none of ours"),
        ("timing.json", "[]", "is not what we write"),
        ("failure.json", "[]", "is damaged or cannot be read"),
    ],
)
def test_an_odd_side_file_is_named_and_the_rest_is_shown(
    path: Path, name: str, text: str, why: str
) -> None:
    (run_of(path) / name).write_text(text)
    document = run_document(take(path), 0)
    place = json.loads((path / PLAN).read_text())["runs"][0]["path"]
    assert document["passed_over"] == [f"{place}/{name}: {why}; passed over"]
    assert document["history"]


@pytest.mark.parametrize("name", ["attempts.jsonl", "timing.json"])
def test_a_side_file_that_the_disk_does_not_give_is_named(
    path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (run_of(path) / name).write_text("{}")
    opened = disk.Disk.open

    def fails(self: disk.Disk, file: Path, flags: int) -> int:
        if file.name == name:
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(file))
        return opened(self, file, flags)

    snapshot = take(path)
    monkeypatch.setattr(disk.Disk, "open", fails)
    (notice,) = run_document(snapshot, 0)["passed_over"]
    assert notice.endswith(f"/{name}: Input/output error; passed over")
