"""A study's records become evidence: verified, each in its slot, what is damaged named."""

import json
from pathlib import Path
from typing import Any

import pytest

from kdgap.errors import BadInputError, StoreDamagedError
from kdgap.judge.load import load
from kdgap.judge.study_evidence import study_evidence
from kdgap.methods import METHODS
from kdgap.spec.identity import configuration_id, run_id, slot_name
from kdgap.store.preregistration import content_hash
from kdgap.store.study import PLAN, StudyDirectory
from tests.judge.builders import analyse
from tests.store import small

BASELINE, METHOD = [0.90, 0.91, 0.93, 0.90], [0.92, 0.94, 0.93, 0.95]
CLAIM = {
    "name": "gains",
    "text": "It gains",
    "measure": "gain",
    "terms": [
        {"weight": 1.0, "teacher": "big", "student": "little", "method": "logit", "ablation": None}
    ],
}


def study(
    tmp_path: Path, baseline: list[float], method: list[float], **statistics: Any
) -> StudyDirectory:
    """A finished study, as little of one as evidence reads."""
    runs = []
    primary = statistics.pop("primary", "best")
    for role, values in (("baseline", baseline), ("final", method)):
        slot = {
            "role": role,
            "teacher": "big" if role == "final" else None,
            "student": "little",
            "method": "logit" if role == "final" else "none",
            "variant": "",
        }
        for seed, value in enumerate(values):
            run = small.spec(role, seed)
            identifier = run_id(run)
            path = f"runs/{slot_name(run)}/{seed}-{identifier[:8]}"
            small.finished(tmp_path / path, run, value)
            runs.append(
                {
                    "id": identifier,
                    "path": path,
                    "cell": configuration_id(run, None),
                    "seed": seed,
                    "teacher": small.TEACHER if role == "final" else None,
                    "roles": [role],
                    "slots": [slot],
                    "parameters": dict(run.method.parameters),
                }
            )
    plan = {
        "selection_complete": True,
        "open_runs": 0,
        "open_flops": 0,
        "study": small.asked(
            finals={"primary": primary, "seeds": list(range(len(baseline)))},
            statistics={"test": "welch", **statistics},
            claims=[CLAIM],
        ),
        "winners": [],
        "open": [],
        "notices": [{"code": "odd", "text": "a warning"}],
        "models": {"big": {"name": "resnet20"}, "little": {"name": "resnet8"}},
        "methods": {name: METHODS[name].about().written() for name in ("none", "logit")},
        "runs": runs,
    }
    directory = StudyDirectory(tmp_path)
    directory.write(PLAN, plan)
    shape = {"train": 1437, "test": 100, "classes": 2, "channels": 1, "image_size": [8, 8]}
    fact = {"name": "digits", "fingerprint": small.FINGERPRINT, "shape": shape}
    for name, locked in (("format", 1), ("threads", 1), ("data", fact)):
        directory.lock_fact(name, locked)
    return directory


def lock(directory: StudyDirectory, content: dict[str, Any], digest: str | None = None) -> None:
    """Register as if no final had been tested yet."""
    path = directory.path / "locked" / "preregistration.json"
    locked = {"sha256": digest or content_hash(content), "content": content}
    path.write_text(json.dumps(locked))


def test_a_study_is_judged_by_its_own_declarations(tmp_path: Path) -> None:
    study(tmp_path, BASELINE, METHOD, smallest_effect_pp=1.0)
    analysis = analyse(load(tmp_path))
    (gain,) = analysis.gains
    assert gain.gain_pp == pytest.approx(100 * (sum(METHOD) - sum(BASELINE)) / 4)
    assert gain.fidelity.top1_agreement.mean == 0.5
    assert analysis.settings.smallest_effect_pp == 1.0
    assert [c.name for c in analysis.contrasts] == ["gains"]
    assert "a warning" in [flag.text for flag in analysis.flags]
    assert load(tmp_path).images == 100
    assert load(tmp_path).train_images == 1337  # 100 are validation images


def test_the_primary_weights_are_the_studys_choice(tmp_path: Path) -> None:
    analysis = analyse(study_evidence(study(tmp_path, BASELINE, METHOD, primary="last")))
    assert analysis.gains[0].mean_pp == pytest.approx(100 * sum(METHOD) / 8)


def test_claims_are_confirmatory_as_they_were_locked(tmp_path: Path) -> None:
    directory = study(tmp_path, BASELINE, METHOD)
    assert analyse(study_evidence(directory)).contrasts[0].post_hoc
    # A lock of an earlier version has no key for what a claim says: it says the default.
    content = {"claims": [CLAIM]}
    lock(directory, content)
    assert not analyse(study_evidence(directory)).contrasts[0].post_hoc


def test_a_lock_that_was_changed_by_hand_confirms_nothing(tmp_path: Path) -> None:
    directory = study(tmp_path, BASELINE, METHOD)
    content = {"claims": [CLAIM]}
    lock(directory, content, "0" * 64)
    analysis = analyse(study_evidence(directory))
    assert analysis.contrasts[0].post_hoc
    assert analysis.study.marks == ("pre-registration changed by hand",)


@pytest.mark.parametrize(
    ("group", "key", "value", "mark"),
    [
        ("statistics", "smallest_effect_pp", 5.0, "post hoc: statistics"),
        ("statistics", "reference", "logit", "post hoc: statistics"),
        ("finals", "primary", "last", "post hoc: primary"),
    ],
)
def test_a_study_judged_otherwise_than_locked_is_post_hoc(
    tmp_path: Path, group: str, key: str, value: object, mark: str
) -> None:
    directory = study(tmp_path, BASELINE, METHOD)
    asked = directory.plan()["study"]
    content = {"claims": [CLAIM], "statistics": asked["statistics"], "finals": asked["finals"]}
    content[group] = {**content[group], key: value}
    lock(directory, content)
    analysis = analyse(study_evidence(directory))
    assert (analysis.study.marks, analysis.contrasts[0].post_hoc) == ((mark,), True)


def test_a_run_in_anothers_place_is_left_out_and_named(tmp_path: Path) -> None:
    directory = study(tmp_path, BASELINE, METHOD)
    plan = directory.plan()
    plan["runs"][0]["id"] = "0" * 64
    directory.write(PLAN, plan)
    analysis = analyse(study_evidence(directory))
    assert "holds run" in analysis.failures[0].remark
    assert analysis.baselines[0].n == 3


def test_a_changed_record_is_left_out_and_named(tmp_path: Path) -> None:
    directory = study(tmp_path, BASELINE, METHOD)
    path = tmp_path / directory.plan()["runs"][0]["path"] / "test.json"
    path.write_text(path.read_text().replace("0.9", "0.99"))
    (failure,) = analyse(study_evidence(directory)).failures
    assert failure.state == "damaged"
    assert "test.json" in failure.remark


def test_a_plan_that_lacks_what_is_read_is_damaged(tmp_path: Path) -> None:
    directory = study(tmp_path, BASELINE, METHOD)
    plan = directory.plan()
    plan["study"]["statistics"]["test"] = "guess"
    directory.write(PLAN, plan)
    with pytest.raises(StoreDamagedError, match=r"plan\.json: study is missing or damaged"):
        load(tmp_path)


def test_an_open_study_says_what_is_not_there_yet(tmp_path: Path) -> None:
    directory = study(tmp_path, BASELINE, METHOD)
    plan = directory.plan()
    new = {**plan["runs"][-1], "id": "e" * 64, "seed": 9, "path": "runs/final/9-eeeeeeee"}
    plan["runs"].append(new)
    plan["open_runs"] = 4
    directory.write(PLAN, plan)
    analysis = analyse(study_evidence(directory))
    texts = " ".join(flag.text for flag in analysis.flags)
    assert "open until selection has ended: 4" in texts
    assert "not finished yet: 1" in texts
    assert analysis.gains[0].n == 4


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda p: None, "no such folder"),
        (lambda p: p.mkdir(), "no study of ours and no import"),
        (lambda p: ((p / "a").mkdir(parents=True), (p / "a" / "results.json").touch()),
         "kdgap import"),
    ],
)  # fmt: skip
def test_a_folder_that_is_neither_says_what_to_do(tmp_path: Path, make: Any, words: str) -> None:
    make(tmp_path / "x")
    with pytest.raises(BadInputError, match=words):
        load(tmp_path / "x")
