"""A finished run whose manifest was removed is damage for whoever meets it; one cut off goes on."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from kdgap import yamlio
from kdgap.errors import StoreDamagedError
from kdgap.files import remove_tree
from kdgap.methods import hyperparameter_names
from kdgap.running.config import resolve
from kdgap.running.single import train_single
from kdgap.spec.flat import read_flat
from kdgap.store.progress import removable
from kdgap.store.record import MANIFEST, RESULTS
from kdgap.store.study import StudyDirectory
from kdgap.study.worker import Worker
from kdgap.study.workspace import open_study
from tests.e2e.study import contents
from tests.study.conftest import Open, Work, runs

SMALL: dict[str, Any] = {"selection": None, "methods": {"logit": {"alpha": 0.5, "temperature": 4}}}
SMALL["finals"] = {"seeds": [0]}


def again(directory: StudyDirectory) -> Worker:
    worker = Worker(open_study(directory.path), "cpu")
    worker.work()
    return worker


@pytest.mark.parametrize("role", ["teacher", "final"])
def test_a_run_whose_manifest_is_gone_is_not_trained_again_until_it_is_cleaned(
    worked: Work, role: str
) -> None:
    directory = worked(**SMALL)
    calm = contents(directory.path)
    run = directory.path / runs(directory, role)[0]["path"]
    (run / MANIFEST).unlink()
    before = {path.name: path.read_bytes() for path in run.iterdir() if path.is_file()}
    assert again(directory).damaged == [f"{run / MANIFEST}: is gone, though the run finished"]
    assert {path.name: path.read_bytes() for path in run.iterdir() if path.is_file()} == before
    assert list(removable(directory).doomed) == [str(run)]
    remove_tree(run)
    assert again(directory).damaged == []
    assert contents(directory.path) == calm


def test_a_run_that_was_cut_off_before_its_manifest_goes_on(
    opened: Open, worked: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    calm = contents(worked("calm", **SMALL).path)

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("kdgap.store.record.write_manifest", killed)
        with pytest.raises(KeyboardInterrupt):
            worked(**SMALL)
    directory = opened(**SMALL).directory
    (cut,) = directory.path.glob(f"runs/*/*/{RESULTS}")
    assert not (cut.parent / MANIFEST).exists()
    assert directory.status(str(cut.parent.relative_to(directory.path))).state == "interrupted"
    assert again(directory).damaged == []
    assert contents(directory.path) == calm


def test_a_single_run_whose_manifest_is_gone_is_refused(tmp_path: Path) -> None:
    keys = {"data": "digits", "model": "resnet8", "width": 0.125, "epochs": 1, "tracker": "none"}
    text = yaml.safe_dump({**keys, "output_dir": str(tmp_path / "run")})
    config, places = read_flat(yamlio.parse(text, "config"), {}, hyperparameter_names())
    spec, weights = resolve(config, places)
    record = train_single(spec, weights)
    (record.path / MANIFEST).unlink()
    before = (record.path / RESULTS).read_bytes()
    with pytest.raises(StoreDamagedError, match="is gone, though the run finished"):
        train_single(spec, weights)
    assert (record.path / RESULTS).read_bytes() == before
    shutil.rmtree(record.path)
    assert json.loads((train_single(spec, weights).path / RESULTS).read_text())
