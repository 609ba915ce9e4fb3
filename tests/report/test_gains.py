"""The gain table: each gain against its own baseline, in percentage points, with its interval."""

import json
from pathlib import Path
from typing import Any

import pytest
from scipy import stats

from kdgap.report.gains import gain_table
from kdgap.store.record import BEST, LAST, RunDirectory
from kdgap.store.study import PLAN, StudyDirectory

TEACHER = "f" * 64


def finished(study: Path, path: str, identifier: str, accuracy: float) -> None:
    """A finished run, as little of one as the table reads."""
    run = RunDirectory(study / path)
    run.start({"id": identifier, "environment": {"device": "cpu"}, "flags": []})
    run.append_history({"epoch": 1})
    for name in (BEST, LAST):
        (run.path / name).write_bytes(b"weights")
    part = {"accuracy": accuracy, "top1_agreement": 0.5}
    run.finish({"seed": 0}, {"best": part, "last": {**part, "accuracy": accuracy / 2}})


def study(
    tmp_path: Path, baseline: list[float], method: list[float], **statistics: Any
) -> StudyDirectory:
    runs = []
    for role, values in (("baseline", baseline), ("final", method)):
        slot = {
            "role": role,
            "teacher": "big" if role == "final" else None,
            "student": "little",
            "method": "logit" if role == "final" else "none",
            "variant": "",
        }
        for seed, value in enumerate(values):
            identifier = f"{role}{seed}".ljust(64, "0")
            path = f"runs/{role}/{seed}-{identifier[:8]}"
            finished(tmp_path, path, identifier, value)
            runs.append(
                {
                    "id": identifier,
                    "path": path,
                    "cell": role,
                    "seed": seed,
                    "teacher": TEACHER if role == "final" else None,
                    "roles": [role],
                    "slots": [slot],
                }
            )
    key = {"teacher": "big", "student": "little", "method": "logit"}
    plan = {
        "format": 1,
        "selection_complete": True,
        "open_runs": 0,
        "open_flops": 0,
        "study": {
            "finals": {"primary": statistics.pop("primary", "best")},
            "statistics": {"test": "welch", "confidence": 0.95, **statistics},
        },
        "winners": [{**key, "parameters": {"alpha": 0.5}}],
        "warnings": [],
        "marks": [],
        "runs": runs,
    }
    (tmp_path / PLAN).write_text(json.dumps(plan))
    return StudyDirectory(tmp_path)


BASELINE, METHOD = [0.90, 0.91, 0.93, 0.90], [0.92, 0.94, 0.93, 0.95]


def test_a_gain_is_welchs_difference_in_percentage_points(tmp_path: Path) -> None:
    (row,) = gain_table(study(tmp_path, BASELINE, METHOD)).rows
    expected = stats.ttest_ind(METHOD, BASELINE, equal_var=False)
    interval = expected.confidence_interval()
    assert row.gain is not None
    assert row.gain.mean == pytest.approx(100 * (sum(METHOD) - sum(BASELINE)) / 4)
    assert row.gain.p == pytest.approx(expected.pvalue)
    assert (row.gain.low, row.gain.high) == pytest.approx((100 * interval.low, 100 * interval.high))
    assert row.agreement == 0.5
    assert row.remarks == []


def test_a_paired_study_compares_seed_by_seed(tmp_path: Path) -> None:
    (row,) = gain_table(study(tmp_path, BASELINE, METHOD, test="paired")).rows
    expected = stats.ttest_rel(METHOD, BASELINE)
    assert row.gain is not None
    assert row.gain.p == pytest.approx(expected.pvalue)


def test_the_primary_weights_are_the_studys_choice(tmp_path: Path) -> None:
    (row,) = gain_table(study(tmp_path, BASELINE, METHOD, primary="last")).rows
    assert row.mean_pp == pytest.approx(100 * sum(METHOD) / 8)


def test_one_seed_has_a_difference_and_no_interval(tmp_path: Path) -> None:
    (row,) = gain_table(study(tmp_path, [0.9], [0.92])).rows
    assert (row.gain, row.std_pp) == (None, None)
    assert row.point_pp == pytest.approx(2.0)


def test_without_a_baseline_there_is_no_gain(tmp_path: Path) -> None:
    (row,) = gain_table(study(tmp_path, [], METHOD)).rows
    assert row.point_pp is None
    assert row.remarks == ["no baseline"]


def test_a_run_in_anothers_place_is_left_out(tmp_path: Path) -> None:
    directory = study(tmp_path, BASELINE, METHOD)
    plan = directory.plan()
    plan["runs"][0]["id"] = "0" * 64
    (tmp_path / PLAN).write_text(json.dumps(plan))
    table = gain_table(directory)
    assert "holds run" in table.damaged[0]
    assert table.baselines["little"][0] == 3
    assert table.rows[0].remarks == ["1 of 4 baseline runs missing"]
