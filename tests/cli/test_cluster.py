"""`kdgap run --ray` and studies at URLs, as far as they need no Ray."""

import sys
from pathlib import Path

import pytest

from kdgap.cli.cluster import with_address
from tests.cli.conftest import Command
from tests.e2e.study import study_text


@pytest.mark.parametrize(
    ("words", "whole"),
    [
        ("run s --ray", "run s --ray auto"),
        ("run --ray s.yaml", "run --ray auto s.yaml"),
        ("run s --ray --out x", "run s --ray auto --out x"),
        ("run s --ray local", "run s --ray local"),
        ("run s --ray ray://head:10001 --json", "run s --ray ray://head:10001 --json"),
        ("run s --ray 10.0.0.1:6379", "run s --ray 10.0.0.1:6379"),
        ("run s --ray 10.0.0.1:x", "run s --ray 10.0.0.1:x"),
        ("run s --ray ray://head", "run s --ray ray://head"),
        ("run s", "run s"),
    ],
)
def test_ray_without_an_address_is_the_one_that_runs_here(words: str, whole: str) -> None:
    assert with_address(words.split()) == whole.split()


@pytest.fixture
def study(tmp_path: Path) -> Path:
    path = tmp_path / "study.yaml"
    path.write_text(study_text())
    return path


def test_without_ray_nothing_is_written(
    kdgap: Command, study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    before = sorted(tmp_path.rglob("*"))
    refused = kdgap("run", study, "--ray", "local", "--out", tmp_path / "out")
    assert refused.returncode == 2
    assert "--ray needs Ray: pip install 'kdgap[ray]'" in refused.stderr
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run", "STUDY", "--out", "file://THERE/x"], "is trained on a cluster: add --ray"),
        (["run", "STUDY", "--out", "gopher://x/y", "--ray"], "Protocol not known: gopher"),
        (["status", "file://THERE/nothing"], "no study was run here"),
    ],
)
def test_a_url_that_does_not_do_is_one_line(
    words: list[str], message: str, kdgap: Command, study: Path, tmp_path: Path
) -> None:
    there = tmp_path / "there"
    given = [w.replace("STUDY", str(study)).replace("THERE", str(there)) for w in words]
    refused = kdgap(*given)
    assert refused.returncode == 2
    assert message in refused.stderr
    assert refused.stderr.strip().count("\n") == 0
    assert not there.exists()
