"""Provenance identifies code and libraries, and tells nothing else about the user's machine."""

import importlib.metadata
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

import kdgap
from kdgap.store.provenance import git_revision, provenance, source_digest

ALLOWED = {
    "CUBLAS_WORKSPACE_CONFIG",
    "CUDA_VISIBLE_DEVICES",
    "MKL_NUM_THREADS",
    "OMP_NUM_THREADS",
    "ONEDNN_MAX_CPU_ISA",
}


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the package's sources that `kdgap.__file__` points to."""
    root = tmp_path / "src" / "kdgap"
    shutil.copytree(Path(kdgap.__file__).parent, root, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(kdgap, "__file__", str(root / "__init__.py"))
    return root


def test_environment_variables_come_from_the_allow_list_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ALLOWED:
        monkeypatch.setenv(name, "7")
    monkeypatch.setenv("HF_TOKEN", "a secret")
    assert provenance()["variables"] == dict.fromkeys(ALLOWED, "7")


def test_no_other_variable_or_path_of_the_user_is_recorded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in set(os.environ) - ALLOWED - {"PATH"}:
        monkeypatch.setenv(name, f"value-of-{name}")
    monkeypatch.setenv("HOME", "/home/somebody")
    text = json.dumps(provenance())
    assert "value-of-" not in text
    assert "somebody" not in text
    assert str(Path.cwd()) not in text


def test_variables_that_are_not_set_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ALLOWED:
        monkeypatch.delenv(name, raising=False)
    assert provenance()["variables"] == {}


def test_library_versions_are_the_installed_ones() -> None:
    packages = provenance()["packages"]
    assert packages["torch"] == importlib.metadata.version("torch")
    assert packages["safetensors"] == importlib.metadata.version("safetensors")


def test_a_copy_of_the_source_has_the_same_digest(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied = source_digest()
    monkeypatch.undo()
    assert Path(kdgap.__file__).parent != copy
    assert source_digest() == copied


def test_any_changed_renamed_or_new_source_file_changes_the_digest(copy: Path) -> None:
    digests = [source_digest()]
    path = copy / "engine" / "optimise.py"
    path.write_text(path.read_text() + "\n")
    digests.append(source_digest())
    path.rename(path.with_name("optimize.py"))
    digests.append(source_digest())
    (copy / "new.py").touch()
    digests.append(source_digest())
    assert len(set(digests)) == 4


def test_a_copy_outside_a_checkout_has_no_revision(copy: Path) -> None:
    assert git_revision() is None


def _git(folder: Path, *words: str) -> None:
    identity = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", "-C", str(folder), *identity, *words], check=True, capture_output=True)


def test_a_checkout_has_a_revision_and_a_changed_one_is_marked(copy: Path, tmp_path: Path) -> None:
    _git(tmp_path, "init")
    _git(tmp_path, "add", ".")
    _git(tmp_path, "commit", "-m", "all")
    clean = git_revision()
    assert clean is not None
    assert len(clean) == 40
    (copy / "errors.py").write_text("# changed\n")
    assert git_revision() == f"{clean}+dirty"


def test_another_repository_around_the_package_is_not_its_revision(
    copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _git(tmp_path, "init")
    moved = copy.rename(tmp_path / "site-packages")
    monkeypatch.setattr(kdgap, "__file__", str(moved / "__init__.py"))
    assert git_revision() is None


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    """A program that leaves a mark beside it when it runs."""
    program = tmp_path / "bin" / "git"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\n: > "$0.ran"\nexit 1\n')
    program.chmod(0o755)
    return program


def test_a_watcher_that_a_checkout_names_does_not_run(
    copy: Path, tmp_path: Path, mark: Path
) -> None:
    _git(tmp_path, "init")
    _git(tmp_path, "add", "src")
    _git(tmp_path, "commit", "-m", "all")
    _git(tmp_path, "config", "core.fsmonitor", str(mark))
    (copy / "errors.py").write_text("# changed\n")
    assert str(git_revision()).endswith("+dirty")
    assert not mark.with_name("git.ran").exists()


@pytest.mark.parametrize("linked", [False, True])
def test_a_repository_that_the_package_is_only_installed_in_is_never_asked(
    copy: Path, tmp_path: Path, mark: Path, monkeypatch: pytest.MonkeyPatch, linked: bool
) -> None:
    _git(tmp_path, "init")
    moved = copy.rename(tmp_path / "site-packages")
    if linked:
        copy.symlink_to(moved)  # so that git, asked, would find the package in its place
    monkeypatch.setattr(kdgap, "__file__", str((copy if linked else moved) / "__init__.py"))
    monkeypatch.setenv("PATH", str(mark.parent))
    assert git_revision() is None
    assert not mark.with_name("git.ran").exists()


def test_variables_of_another_repository_do_not_count(
    copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    for folder in (tmp_path, other):
        folder.mkdir(exist_ok=True)
        (folder / "file").write_text(folder.name)
        _git(folder, "init")
        _git(folder, "add", "src" if folder == tmp_path else "file")
        _git(folder, "commit", "-m", "all")
    own = git_revision()
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other))
    assert own is not None
    assert git_revision() == own


def test_every_source_file_of_the_package_is_in_the_repository() -> None:
    root = Path(kdgap.__file__).parent
    ignored = subprocess.run(
        ["git", "-C", str(root), "check-ignore", "--stdin"],
        input="\n".join(str(path) for path in root.rglob("*.py")),
        capture_output=True,
        text=True,
        check=False,
    )
    if ignored.returncode == 128:
        pytest.skip("not a checkout")
    assert ignored.stdout == ""
