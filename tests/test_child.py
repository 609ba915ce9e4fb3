"""A child starts from an absolute entry, and inherits nothing that means the current directory."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import kdgap
from kdgap import child

PACKAGE = Path(kdgap.__file__).resolve().parent


@pytest.mark.parametrize(
    ("name", "given", "kept"),
    [
        ("PATH", ":/usr/bin", "/usr/bin"),
        ("PATH", ".:bin", None),
        ("PATH", "", None),
        ("PYTHONPATH", "/a::/b:../c:.", "/a:/b"),
        ("PYTHONPATH", "src", None),
        ("PYTHONHOME", "here", None),
        ("PYTHONUSERBASE", "./local", None),
        ("PYTHONPYCACHEPREFIX", "cache", None),
        ("LD_LIBRARY_PATH", ":/usr/local/cuda/lib64", "/usr/local/cuda/lib64"),
        ("DYLD_LIBRARY_PATH", "/lib:", "/lib"),
        ("HF_HOME", "relative/as/it/is", "relative/as/it/is"),
    ],
)
def test_search_paths_keep_their_absolute_entries_alone(
    monkeypatch: pytest.MonkeyPatch, name: str, given: str, kept: str | None
) -> None:
    monkeypatch.setenv(name, given)
    assert child.environment().get(name) == kept


def test_a_child_has_neither_the_current_nor_the_packages_folder_on_its_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(["", str(PACKAGE.parent / "absolute")]))
    done = subprocess.run(
        child.command("site"), env=child.environment(), capture_output=True, text=True, check=True
    )
    path = [line.strip(" ',") for line in done.stdout.splitlines() if line.startswith("    ")]
    assert str(PACKAGE.parent / "absolute") in path
    assert str(PACKAGE.parent) in path
    assert {"", str(tmp_path), str(PACKAGE)} & set(path) == set()


def test_a_child_is_the_very_package_that_started_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where Python would find another one, as beside a source tree that is not installed."""
    other = tmp_path / "kdgap"
    other.mkdir()
    (other / "__init__.py").write_text("raise SystemExit('another package')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    done = subprocess.run(
        child.command("kdgap", "train", "missing.yaml"),
        env=child.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done
    assert "missing.yaml" in done.stderr


def test_every_process_that_the_package_starts_is_a_child_of_this_kind() -> None:
    """Whoever starts one says with which environment; another way to start one is named here."""
    starts = {
        path.relative_to(PACKAGE).as_posix(): text.count("child.environment()")
        for path in PACKAGE.rglob("*.py")
        if "subprocess." in (text := path.read_text())
        or any(word in text for word in ("os.system", "os.popen", "os.exec", "os.spawn"))
    }
    assert starts == {
        "benchmark/arm_process.py": 1,
        "data/parquet.py": 1,
        "data/tables.py": 2,
        "shipping/archive.py": 0,  # which says in words what others start
        "store/provenance.py": 1,
        "running/conversion.py": 1,
        "running/ranks.py": 1,
        "study/supervise.py": 1,
    }


def test_a_process_isolates_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    absolute = str(tmp_path / "absolute")
    entries = ["", "relative", absolute, "/elsewhere"]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(entries))
    monkeypatch.setenv("PATH", ".")
    paths = [str(tmp_path), str(tmp_path / "relative"), absolute, "/elsewhere", "", *sys.path]
    monkeypatch.setattr(sys, "path", paths)
    child.isolate()
    assert os.environ["PYTHONPATH"] == os.pathsep.join([absolute, "/elsewhere"])
    assert "PATH" not in os.environ
    assert sys.path[:2] == [absolute, "/elsewhere"]
    assert "" not in sys.path
