"""An import becomes evidence: its grids with their scores, and what its ablations change."""

from pathlib import Path

import pytest

from kdgap.judge.imported_evidence import evidence_of
from kdgap.report.collect import best_configurations, collect
from kdgap.store.imports.imported import import_runs
from kdgap.store.notices import TEST_CHOSEN
from tests.judge.builders import analyse
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
    scores = [option.score for option in tuning.candidates]
    assert scores == pytest.approx([0.553, 0.603])
    assert [option.parameters["alpha"] for option in tuning.candidates] == [0.5, 0.7]
    assert tuning.winner == {"alpha": 0.7, "temperature": 4.0}
    assert tuning.seeds == (0, 1)


def test_a_candidate_with_a_failed_run_has_no_score(tmp_path: Path) -> None:
    """A mean over the seeds that went well would reward a configuration for failing."""
    for seed, start in enumerate((0.5, 0.6)):
        candidate(tmp_path, 0.5, seed, start)
        candidate(tmp_path, 0.7, seed, start + 0.05, epochs=3 - seed)
    (tuning,) = evidence_of(*import_runs(tmp_path, "x"), "x").tunings
    assert [option.score for option in tuning.candidates] == [pytest.approx(0.553), None]
    assert [len(option.runs) for option in tuning.candidates] == [2, 2]


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
    evidence = evidence_of(*import_runs(tmp_path, "x"), "x")
    assert evidence.changes == {
        "projection_clipping_resnet50_to_resnet18": "no_proj_clip False becomes True"
    }


def grid(folder: Path, method: str, tried: list[dict[str, object]], chosen: int) -> None:
    """Write a selection of one seed whose last is the best, finals, and baselines."""
    for number, parameters in enumerate(tried):
        place = f"runs/select/p/{method}/c{number}/seed9"
        write(folder, place, kd_type=method, seed=9, history=history(0.5 + number / 10),
              **parameters)  # fmt: skip
    for seed in range(2):
        place = f"runs/final/p_{method}/seed{seed}"
        write(folder, place, kd_type=method, seed=seed, **tried[chosen])
        write(folder, f"runs/final/plain/seed{seed}", seed=seed, history=history(0.4 + seed / 50),
              kd_type="none", teacher=None)  # fmt: skip


@pytest.mark.parametrize(
    ("method", "tried"),
    [
        ("feature", [{"feat_norm": "none"}, {"feat_norm": "teacher_std"}]),
        ("feature", [{"alpha": 0.3, "feat_norm": "none"}, {"alpha": 0.3, "feat_norm": "x"}]),
        ("crd", [{"crd_t": 0.07, "crd_n": 4096}, {"crd_t": 0.1, "crd_n": 4096}]),
        ("crd", [{"crd": {"t": 0.07}}, {"crd": {"t": 0.1}}]),
        ("rkd", [{"rkd_distance": True}, {"rkd_distance": False}]),
        ("at", [{"at_layers": [1, 2]}, {"at_layers": [2, 3]}]),
        ("logit", [{"lr": 0.1}, {"lr": 0.05}]),
        ("theirs", [{"method_parameters": {"p": 1}}, {"method_parameters": {"p": 2}}]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_candidates_are_told_apart_by_whatever_was_tried(
    method: str, tried: list[dict[str, object]], tmp_path: Path
) -> None:
    """A winner that differs in `norm`, or in a method's own parameter, is the winner."""
    for number, chosen in enumerate((1, 0)):
        folder = tmp_path / str(number)
        grid(folder, method, tried, chosen)
        analysis = analyse(evidence_of(*import_runs(folder, "x"), "x"))
        (tuning,) = analysis.selection
        first, second = (candidate.parameters for candidate in tuning.candidates)
        assert first != second
        scores = {str(option.parameters): option.score for option in tuning.candidates}
        best = max(scores, key=lambda text: scores[text])
        (gain,) = analysis.gains
        assert (str(gain.parameters) == best) == (chosen == 1)
        flagged = [flag.text for flag in gain.flags if flag.code == "not-the-winner"]
        assert len(flagged) == (0 if chosen == 1 else 1), gain.flags


def test_a_parameter_of_another_method_is_no_recipe(tmp_path: Path) -> None:
    """The baseline knows nothing of it, so it is compared all the same."""
    grid(tmp_path, "crd", [{"crd_t": 0.07}, {"crd_t": 0.1}], 1)
    about, runs = import_runs(tmp_path, "x")
    (gain,) = analyse(evidence_of(about, runs, "x")).gains
    assert gain.gain_pp is not None
    assert not [finding for finding in about["findings"] if "baseline" in finding["text"]]


@pytest.mark.parametrize("split", ["val", "test"])
def test_what_chose_on_the_test_images_says_so_everywhere(split: str, tmp_path: Path) -> None:
    flags = [TEST_CHOSEN.text] if split == "test" else ["the teacher's accuracy was never measured"]
    candidate(tmp_path, 0.5, 0, 0.5)
    candidate(tmp_path, 0.7, 0, 0.6)
    for seed in range(2):
        write(tmp_path, f"runs/final/p_logit/seed{seed}", alpha=0.7, seed=seed + 5, flags=flags)
    evidence = evidence_of(*import_runs(tmp_path, "x"), "x")
    assert evidence.chosen_on == split
    assert ("chosen on the test images" in evidence.marks) == (split == "test")
    assert {tuning.split for tuning in evidence.tunings} == {split}
    flagged = {flag.code for gain in analyse(evidence).gains for flag in gain.flags}
    assert ("chosen-on-test" in flagged) == (split == "test")


def test_the_collector_names_parameters_that_are_words(tmp_path: Path) -> None:
    for seed in range(2):
        write(tmp_path, f"x/seed{seed}", kd_type="feature", seed=seed, feat_norm="teacher_std")
    groups, _ = collect(tmp_path)
    assert "feat_norm teacher_std" in groups[0].title


@pytest.mark.parametrize(
    "own",
    [{"precision": "bf16"}, {"limit": 500}, {"data": "cifar100"}, {"smoke": True}],
    ids=lambda value: next(iter(value)),
)
def test_what_every_file_says_by_leaving_it_out_is_recipe(
    own: dict[str, object], tmp_path: Path
) -> None:
    """It was tried once at the usual value and once not; finals have it, and baselines do not."""
    for name, further in (("usual", {}), ("other", own)):
        write(tmp_path, f"runs/select/p/logit/{name}/seed9", seed=9, **further)
    for seed in range(2):
        write(tmp_path, f"runs/final/p_logit/seed{seed}", seed=seed, **own)
        write(tmp_path, f"runs/final/plain/seed{seed}", seed=seed, history=history(0.4 + seed / 50),
              kd_type="none", teacher=None)  # fmt: skip
    about, runs = import_runs(tmp_path, "x")
    (gain,) = analyse(evidence_of(about, runs, "x")).gains
    assert gain.gain_pp is None
    assert any(
        finding["text"].startswith("a method and its baseline that")
        for finding in about["findings"]
    )


def test_a_method_that_names_a_parameter_as_the_recipe_does_keeps_the_recipe(
    tmp_path: Path,
) -> None:
    for seed in range(2):
        write(tmp_path, f"runs/final/p_ema/seed{seed}", kd_type="ema", seed=seed, momentum=0.9,
              method_parameters={"momentum": 0.99})  # fmt: skip
        write(tmp_path, f"runs/final/plain/seed{seed}", seed=seed, history=history(0.4 + seed / 50),
              kd_type="none", teacher=None, momentum=0.0)  # fmt: skip
    (gain,) = analyse(evidence_of(*import_runs(tmp_path, "x"), "x")).gains
    assert gain.gain_pp is None


@pytest.mark.parametrize(
    "parameters",
    [
        "{oops",
        "{}",
        "[1]",
        {"temperature": None},
        {"alpha": "auto"},
        {"alpha": [1]},
        {"beta": True},
    ],
    ids=str,
)
def test_odd_parameters_of_a_method_end_no_import(parameters: object, tmp_path: Path) -> None:
    for role in ("select/p/logit/c0", "final/p_logit"):
        for method in ("logit", "theirs"):
            write(tmp_path, f"runs/{role}_{method}/seed0", kd_type=method, seed=0,
                  method_parameters=parameters, without=("alpha", "temperature"))  # fmt: skip
    _, runs = import_runs(tmp_path, "x")
    assert len(runs) == 2  # each stands in two folders
    groups, _ = collect(tmp_path)
    assert all(group.title for group in groups)


def test_configurations_of_words_and_of_numbers_are_put_in_order(tmp_path: Path) -> None:
    write(tmp_path, "x/0", kd_type="feature", feat_norm="teacher_std", without=("feat_beta",))
    write(tmp_path, "x/1", kd_type="feature")
    write(tmp_path, "x/2", kd_type="theirs", method_parameters={"alpha": 0.5, "kind": "x"})
    groups, _ = collect(tmp_path)
    assert best_configurations(groups)
