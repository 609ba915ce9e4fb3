"""Which method for a student: places in order, what may be best, and the recommendation."""

import pytest

from kdgap.judge.context import Context
from kdgap.judge.evidence import Evidence
from kdgap.judge.ranking import Ranking, rankings
from kdgap.numbers import seeds
from kdgap.spec.claims import Statistics
from tests.judge.builders import Values, evidence, final, pair_of, plain, runs_of

PLAIN = [90.0, 90.2, 89.8, 90.1, 89.9]
BETTER = [92.0, 92.2, 91.8, 92.1, 91.9]
UNSURE = [94.0, 86.0, 91.0, 88.0, 92.0]


def ranked(runs: Evidence) -> Ranking:
    (ranking,) = rankings(Context(runs))
    return ranking


def of(baseline: Values, **changes: object) -> Evidence:
    methods = {name: changes.pop(name) for name in ("logit", "feature") if name in changes}
    runs = runs_of(plain("little"), baseline)
    for name, values in methods.items():
        runs += runs_of(final("big", "little", name), values, parameters={"alpha": 0.5})  # type: ignore[arg-type]
    return evidence(runs, **changes)


def test_the_highest_mean_is_first_and_each_is_compared_with_plain_training() -> None:
    ranking = ranked(of(PLAIN, logit=BETTER, feature=[88.0, 88.3, 87.7, 88.1, 87.9]))
    assert [place.name for place in ranking.places] == ["Logit-KD", "plain training", "Feature-KD"]
    best, base, worst = ranking.places
    assert best.over_plain_pp == pytest.approx(2.0)
    assert worst.over_plain_pp == pytest.approx(-2.0)
    assert worst.over_plain_ci95_pp is not None
    assert worst.over_plain_ci95_pp[0] < -2 < worst.over_plain_ci95_pp[1] < 0
    assert (base.over_plain_pp, base.improves) == (None, None)
    assert (best.improves, worst.improves) == (1.0, 0.0)
    assert [place.may_be_best for place in ranking.places] == [True, False, False]
    assert best.over_best_pp == pytest.approx(2.0)
    assert worst.over_best_pp == pytest.approx(-4.0)
    assert ranking.settled
    assert ranking.recommendation.startswith(
        "Use Logit-KD: shown to be better than all others (95 %), +2.00 pp ["
    )


def test_pairs_are_all_pairs_corrected_together() -> None:
    ranking = ranked(of(PLAIN, logit=BETTER, feature=UNSURE))
    assert [(pair.first, pair.second) for pair in ranking.pairs] == [(0, 1), (0, 2), (1, 2)]
    for pair in ranking.pairs:
        first, second = ranking.places[pair.first], ranking.places[pair.second]
        assert first.level.mean_pp is not None
        assert second.level.mean_pp is not None
        assert pair.difference_pp == pytest.approx(first.level.mean_pp - second.level.mean_pp)
        assert pair.p is not None
        assert pair.p_holm is not None
        assert pair.p <= pair.p_holm <= min(1.0, 3 * pair.p + 1e-12)


@pytest.mark.parametrize(
    ("changes", "begins"),
    [
        ({"logit": UNSURE}, "Not settled: plain training may be the best, too. Highest mean: "),
        ({"logit": [88.0, 88.2, 87.8, 88.1, 87.9]}, "Use plain training: shown to be better than"),
        (
            {"logit": [85.0, 93.0, 88.0, 91.0, 87.0]},
            "Use plain training: no method has a higher mean",
        ),
        (
            {"logit": BETTER, "feature": [92.1, 92.3, 91.7, 92.2, 91.8]},
            "Use one of Feature-KD, Logit-KD: plain training is shown not to be the best (95 %).",
        ),
    ],
)
def test_what_to_use_says_how_sure_it_is(changes: dict[str, Values], begins: str) -> None:
    ranking = ranked(of(PLAIN, **changes))
    assert ranking.recommendation.startswith(begins)
    if not ranking.settled:
        needed = seeds(max(seeds_to_settle(ranking)))
        assert ranking.recommendation.endswith(
            f" It would take {needed} seeds of each to tell 0.2 pp apart."
        )


def seeds_to_settle(ranking: Ranking) -> list[int]:
    """The seeds that each pair of candidates needs; those that are not the best do not count."""
    best = [number for number, place in enumerate(ranking.places) if place.may_be_best]
    pairs = [pair for pair in ranking.pairs if {pair.first, pair.second} <= set(best)]
    assert len(pairs) == len(best) * (len(best) - 1) / 2
    return [pair.seeds_needed for pair in pairs if pair.seeds_needed is not None]


TIGHT = [90.00, 90.05, 89.95, 90.02, 89.98]


@pytest.mark.parametrize(("method", "have"), [(5, 5), (4, 4)])
def test_seeds_that_are_there_are_not_asked_for(method: int, have: int) -> None:
    ranking = ranked(of(TIGHT, logit=[value + 0.01 for value in TIGHT[:method]]))
    (needed,) = seeds_to_settle(ranking)
    assert needed <= have
    assert ranking.recommendation.endswith(
        f" It takes {needed} seeds of each to tell 0.2 pp apart with 80 % power; there are {have},"
        " and they did not."
    )


def test_more_seeds_than_anybody_trains_are_not_asked_for() -> None:
    ranking = ranked(of([10.0, 90.0, 50.0, 20.0], logit=[80.0, 15.0, 60.0, 30.0]))
    assert seeds_to_settle(ranking) == []
    assert ranking.recommendation.endswith(
        " No affordable number of seeds would tell 0.2 pp apart."
    )


def test_one_seed_recommends_nothing() -> None:
    ranking = ranked(pair_of(PLAIN[:1], BETTER[:1]))
    assert ranking.recommendation.startswith("Nothing can be recommended: Logit-KD has the highest")
    assert all(place.over_best_ci95_pp is None for place in ranking.places)
    assert all(place.may_be_best for place in ranking.places)


def test_names_say_the_teacher_or_the_settings_only_where_these_tell_apart() -> None:
    runs = runs_of(plain("little"), PLAIN)
    for teacher in ("big", "huge"):
        runs += runs_of(final(teacher, "little", "logit"), BETTER)
    names = {place.name for place in ranked(evidence(runs)).places}
    assert names == {"plain training", "Logit-KD from big", "Logit-KD from huge"}
    runs = runs_of(plain("little"), PLAIN)
    for alpha in (0.1, 0.9):
        runs += runs_of(
            final("big", "little", "logit"),
            BETTER,
            configuration=f"alpha-{alpha}",
            parameters={"alpha": alpha},
        )
    names = {place.name for place in ranked(evidence(runs)).places}
    assert names == {"plain training", "Logit-KD (alpha 0.1)", "Logit-KD (alpha 0.9)"}


def test_a_cost_is_of_the_networks_or_unknown() -> None:
    models = {"big": {"flops": 600.0}, "little": {"flops": 100.0}}
    ranking = ranked(of(PLAIN, logit=BETTER, models=models))
    assert [place.cost for place in ranking.places] == [3.0, 1.0]
    assert "3.0 times its computation" in ranking.recommendation
    assert ranked(of(PLAIN, logit=BETTER)).places[0].cost is None


def test_a_study_that_compares_by_seed_is_ranked_by_seed() -> None:
    drift = [0.0, 3.0, -3.0, 1.0, -1.0]
    base = [value + more for value, more in zip(PLAIN, drift, strict=True)]
    method = [value + 0.5 + 0.01 * n for n, value in enumerate(base)]
    assert not ranked(of(base, logit=method)).settled
    paired = Statistics(test="paired")
    assert ranked(of(base, logit=method, statistics=paired)).settled


def test_a_pair_that_lacks_a_seed_is_ranked_by_the_seeds_that_both_have() -> None:
    """The number that is printed is of the seeds that its interval is of."""
    base = [90.0, 90.2, 89.8, 90.1, 80.0]
    method = [90.6, 90.7, 90.4, 90.8, None]
    ranking = ranked(of(base, logit=method, statistics=Statistics(test="paired")))
    own, plainly = ranking.places
    assert own.level.mean_pp == pytest.approx(90.625)
    assert plainly.level.mean_pp == pytest.approx(88.02)
    assert own.over_plain_pp == own.over_best_pp == pytest.approx(0.6)
    assert plainly.over_best_pp == pytest.approx(-0.6)
    for place in ranking.places:
        assert place.over_best_pp is not None
        assert place.over_best_ci95_pp is not None
        assert place.over_best_ci95_pp[0] <= place.over_best_pp <= place.over_best_ci95_pp[1]
    assert ranking.pairs[0].n_smallest == 4


def test_more_students_take_more_to_be_shown_the_best() -> None:
    """What is said of the best holds for all students at once."""
    single = rankings(Context(pair_of(PLAIN, UNSURE)))
    runs = runs_of(plain("little"), PLAIN) + runs_of(final("big", "little", "logit"), UNSURE)
    runs += runs_of(plain("tiny"), PLAIN) + runs_of(final("big", "tiny", "logit"), UNSURE)
    two = rankings(Context(evidence(runs)))
    assert len(two) == 2
    (narrow,), (wide, _) = single, two
    for a, b in zip(narrow.places, wide.places, strict=True):
        assert a.over_best_ci95_pp is not None
        assert b.over_best_ci95_pp is not None
        assert b.over_best_ci95_pp[0] < a.over_best_ci95_pp[0]


def test_a_student_without_plain_training_is_not_ranked() -> None:
    runs = runs_of(final("big", "little", "logit"), BETTER)
    assert rankings(Context(evidence(runs))) == []
