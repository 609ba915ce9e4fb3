"""Grids beside the noise of seeds: where it comes from, and what is tied within it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from scipy.stats import t

from kdgap.judge.evidence import Candidate, Evidence, Run, Tuning
from kdgap.judge.grids import Grid, grid
from kdgap.judge.words import grid_sentence
from kdgap.spec.slot import Slot
from tests.judge.builders import evidence, final, plain, runs_of


def tuned(
    scores: Mapping[float, Sequence[float | None]], *others: Run, metric: str = "best_val_acc"
) -> tuple[Tuning, Evidence]:
    """A grid over alpha, with the validation accuracy (%) of each seed, and other runs."""
    runs, candidates = list(others), []
    for alpha, percents in scores.items():
        slot = Slot("selection", "big", "little", "logit", candidate=f"a{alpha}")
        own = runs_of(
            slot, percents, first_seed=1000, configuration=str(alpha), parameters={"alpha": alpha}
        )
        known = [percent for percent in percents if percent is not None]
        score = sum(known) / len(known) / 100 if len(known) == len(percents) else None
        candidates.append(Candidate({"alpha": alpha}, tuple(run.id for run in own), score))
        runs += own
    seeds = tuple(range(1000, 1000 + max(map(len, scores.values()))))
    tuning = Tuning(
        "big", "little", "logit", tuple(candidates), None, seeds, "val", metric, "Logit-KD"
    )
    return tuning, evidence(runs, tunings=(tuning,))


def measured(*args: Any, **changes: Any) -> Grid:
    return grid(*tuned(*args, **changes))


def ties(of: Grid) -> list[bool | None]:
    return [cell.may_be_best for cell in of.cells]


def test_noise_is_pooled_over_the_seeds_of_selection() -> None:
    shown = measured({0.1: [90.0, 92.0], 0.5: [95.0, 96.0], 0.9: [95.5, 96.5]})
    # Squares about the means: 2 + 0.5 + 0.5, of three degrees of freedom.
    assert (shown.source, shown.df) == ("selection", 3)
    assert shown.noise_pp == pytest.approx(1.0)
    assert [cell.behind_pp for cell in shown.cells] == pytest.approx([5.0, 0.5, 0.0])
    # Each mean is of two seeds: the standard error of a difference is the noise itself.
    assert [cell.behind_se for cell in shown.cells] == pytest.approx([5.0, 0.5, 0.0])


@pytest.mark.parametrize(("beyond", "tied"), [(-0.01, True), (0.01, False)])
def test_a_tie_ends_at_the_one_sided_bound_over_all_others(beyond: float, tied: bool) -> None:
    # Hsu (1984) with Bonferroni over two others: t(3, 1 - 0.05 / 2) standard errors of 1 pp.
    behind = float(t.ppf(1 - 0.05 / 2, 3)) + beyond
    low = [96.0 - behind - 1.0, 96.0 - behind + 1.0]
    shown = measured({0.1: low, 0.5: [94.5, 95.5], 0.9: [95.5, 96.5]})
    assert shown.noise_pp == pytest.approx(1.0)
    assert ties(shown) == [tied, True, True]


def test_with_one_selection_seed_the_final_runs_give_the_noise() -> None:
    finals = runs_of(final("big", "little", "logit"), [94.0, 96.0], configuration="final")
    others = runs_of(final("big", "little", "feature"), [80.0, 90.0], configuration="other")
    shown = measured({0.1: [90.0], 0.9: [95.0]}, *finals, *others)
    assert (shown.source, shown.df) == ("final", 1)
    assert shown.noise_pp == pytest.approx(2**0.5)
    assert shown.cells[0].behind_se == pytest.approx(5.0 / 2)


def test_with_one_final_the_student_gives_the_noise() -> None:
    finals = runs_of(final("big", "little", "logit"), [94.0], configuration="final")
    plains = runs_of(plain("little"), [90.0, 92.0])
    strangers = runs_of(plain("other"), [50.0, 90.0])
    shown = measured({0.1: [90.0], 0.9: [95.0]}, *finals, *plains, *strangers)
    assert (shown.source, shown.df) == ("student", 1)
    assert shown.noise_pp == pytest.approx(2**0.5)


@pytest.mark.parametrize("values", [[94.0], [94.0, 94.0], [94.0, None]])
def test_without_two_seeds_that_differ_no_tie_is_claimed(values: list[float | None]) -> None:
    finals = runs_of(final("big", "little", "logit"), values, configuration="final")
    shown = measured({0.1: [90.0], 0.9: [95.0]}, *finals)
    assert (shown.noise_pp, shown.source, shown.df) == (None, None, 0)
    assert ties(shown) == [None, None]
    assert [cell.behind_pp for cell in shown.cells] == pytest.approx([5.0, 0.0])


def test_teachers_do_not_add_to_the_noise_of_seeds() -> None:
    taught = [
        replace(run, id=f"{run.id}-{teacher}", teacher=teacher)
        for teacher, values in (("a", [90.0, 92.0]), ("b", [94.0, 96.0]))
        for run in runs_of(final("big", "little", "logit"), values, configuration="final")
    ]
    shown = measured({0.1: [90.0], 0.9: [95.0]}, *taught)
    assert shown.noise_pp == pytest.approx(2**0.5)
    assert shown.df == 2


def test_what_failed_is_neither_tied_nor_behind() -> None:
    shown = measured({0.1: [90.0, None], 0.5: [94.0, 96.0], 0.9: [95.0, 97.0]})
    assert [shown.cells[0].behind_pp, shown.cells[0].may_be_best] == [None, None]
    # Its one finished run tells nothing of noise; of the two that are left, one other is compared.
    assert shown.df == 2
    assert ties(shown)[1:] == [True, True]


def test_the_noise_is_of_the_accuracy_that_chose() -> None:
    tuning, whole = tuned({0.1: [90.0, 92.0], 0.9: [95.0, 96.0]})
    last = {"best": 0.9, "last": 0.8}
    runs = [
        replace(run, validation=type(run.validation)({**last, "last": 0.8 + 0.01 * number}))
        for number, run in enumerate(whole.runs)
    ]
    whole = replace(whole, runs=tuple(runs))
    assert grid(tuning, whole).noise_pp is None  # the best epochs are all alike
    assert grid(replace(tuning, metric="last_val_acc"), whole).noise_pp == pytest.approx(0.5**0.5)


@pytest.mark.parametrize("alone", [{0.5: [95.0, 96.0]}, {0.5: [95.0, 96.0], 0.9: [95.0, None]}])
def test_the_only_one_that_has_a_score_is_the_best(alone: dict[float, list[float | None]]) -> None:
    assert measured(alone).cells[0].may_be_best is True


def test_a_grid_is_said_in_a_sentence_with_its_ties_and_its_noise() -> None:
    shown = measured({0.1: [90.0, 92.0], 0.5: [95.0, 96.0], 0.9: [95.5, 96.5]})
    assert (shown.tied, shown.scored) == (2, 3)
    assert grid_sentence(shown) == (
        "2 of 3 may be the best: they are tied within the noise of seeds (for all at once, 95 %)."
        " A seed's noise is 1.00 pp, the standard deviation over the selection seeds"
        " (3 degrees of freedom)."
    )
    clear = measured({0.1: [60.0, 62.0], 0.5: [95.0, 96.0]})
    assert grid_sentence(clear).startswith("One is ahead of all others (for all at once, 95 %).")
    plains = runs_of(plain("little"), [90.0, 92.0])
    by_student = grid_sentence(measured({0.1: [90.0], 0.9: [95.0]}, *plains))
    assert "over the seeds of all final and plain runs of the student" in by_student
    assert "(1 degree of freedom)" in by_student


def test_a_grid_without_a_noise_or_of_one_score_says_so() -> None:
    bare = measured({0.1: [90.0], 0.9: [95.0]})
    assert (bare.tied, bare.scored) == (None, 2)
    assert grid_sentence(bare).startswith("No noise of seeds is known: no configuration has two")
    alone = measured({0.5: [95.0, 96.0], 0.9: [95.0, None]})
    assert grid_sentence(alone).startswith("One alone has a score (")
    plains = runs_of(plain("little"), [90.0, 92.0])
    assert grid_sentence(measured({0.5: [None]}, *plains)).startswith("None has a score (")
