"""An import becomes evidence: its grids with their scores, and what its ablations change."""

from pathlib import Path

import pytest

from kdgap.judge.imported_evidence import evidence_of
from kdgap.store.imported import import_runs
from tests.store.foreign_files import FINAL, history, write


def candidate(folder: Path, alpha: float, seed: int, start: float, epochs: int = 3) -> None:
    place = f"runs/select/p/logit/a{alpha}/seed{seed}"
    write(folder, place, alpha=alpha, seed=seed, history=history(start)[:epochs])


def test_a_candidates_score_is_the_mean_over_its_seeds(tmp_path: Path) -> None:
    for seed, start in enumerate((0.5, 0.6)):
        candidate(tmp_path, 0.5, seed, start)
        candidate(tmp_path, 0.7, seed, start + 0.05)
    write(tmp_path, FINAL, alpha=0.7, seed=9)
    (tuning,) = evidence_of(*import_runs(tmp_path, "x"), "x").tunings
    scores = [one["score"] for one in tuning.candidates]
    assert scores == pytest.approx([0.553, 0.603])
    assert [one["parameters"]["alpha"] for one in tuning.candidates] == [0.5, 0.7]
    assert tuning.winner == {"alpha": 0.7, "temperature": 4.0}
    assert tuning.seeds == (0, 1)


def test_a_candidate_with_a_failed_run_has_no_score(tmp_path: Path) -> None:
    """A mean over the seeds that went well would reward a configuration for failing."""
    for seed, start in enumerate((0.5, 0.6)):
        candidate(tmp_path, 0.5, seed, start)
        candidate(tmp_path, 0.7, seed, start + 0.05, epochs=3 - seed)
    (tuning,) = evidence_of(*import_runs(tmp_path, "x"), "x").tunings
    assert [one["score"] for one in tuning.candidates] == [pytest.approx(0.553), None]
    assert [len(one["runs"]) for one in tuning.candidates] == [2, 2]


def test_finals_that_disagree_have_no_winner(tmp_path: Path) -> None:
    candidate(tmp_path, 0.5, 0, 0.5)
    for seed, alpha in enumerate((0.5, 0.7), 1):
        write(tmp_path, f"runs/final/p_logit/seed{seed}", alpha=alpha, seed=seed)
    (tuning,) = evidence_of(*import_runs(tmp_path, "x"), "x").tunings
    assert tuning.winner is None


def test_what_an_ablation_changes_is_said_with_numbers_as_people_write_them(tmp_path: Path) -> None:
    for number, unclipped in enumerate((False, True)):
        write(
            tmp_path,
            f"runs/{'bug_ablation' if unclipped else 'final'}/p_feature/seed0",
            kd_type="feature",
            no_proj_clip=unclipped,
            batch_size=128,
            history=history(0.5 + number / 10),
        )
    found = evidence_of(*import_runs(tmp_path, "x"), "x")
    assert found.changes == {
        "projection_clipping_resnet50_to_resnet18": "no_proj_clip False becomes True"
    }
