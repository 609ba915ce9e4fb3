"""Gains stand by the baseline that they are over: grouped, called and counted."""

from dataclasses import replace
from typing import Any

import pytest

from kdgap.judge.baselines import MOST_SEEDS, OverBaseline, by_baseline
from kdgap.judge.context import Context
from kdgap.judge.evidence import Evidence, Run
from kdgap.judge.headline import headline
from kdgap.judge.ranking import rankings
from kdgap.numbers import spread
from kdgap.report.tables.judged import gains as gains_table
from kdgap.spec.claims import Statistics
from tests.judge.builders import Values, analyse, evidence, final, plain, runs_of

LOW, HIGH = [16.0, 10.0, 22.0], [33.0, 34.0, 35.0]


def recipe(name: str, epochs: int, **methods: Values) -> list[Run]:
    """The runs of one recipe: plain training as `none`, and methods of big → little."""
    runs: list[Run] = []
    for method, values in methods.items():
        slot = plain("little") if method == "none" else final("big", "little", method)
        more: dict[str, Any] = {"recipe": {"name": name}, "epochs": epochs}
        runs += runs_of(slot, values, configuration=f"{method}{name}" + 20 * "0", **more)
    return runs


def two_recipes(epochs: tuple[int, int] = (2, 4), **changes: Any) -> Evidence:
    """Two recipes as an import may hold them; of the first, a method's runs all failed."""
    runs = recipe("a", epochs[0], none=LOW, logit=[15.0, 16.0, 18.0], feature=[None])
    runs += recipe("b", epochs[1], none=HIGH, logit=[31.0, 32.0, 30.0], feature=[14.0, 15.0, 16.0])
    return evidence(runs, **changes)


def shown(groups: list[OverBaseline]) -> list[tuple[str, list[str]]]:
    return [(group.name, [gain.label for _, gain in group.gains]) for group in groups]


def test_a_gain_stands_only_under_the_baseline_that_it_is_over() -> None:
    analysis = analyse(two_recipes())
    groups = by_baseline(analysis)
    assert shown(groups) == [
        ("big → little, 2 epochs", ["Logit-KD", "Feature-KD"]),
        ("big → little, 4 epochs", ["Logit-KD", "Feature-KD"]),
    ]
    for group in groups:
        base = group.first.baseline_mean_pp
        for number, gain in group.gains:
            assert analysis.gains[number - 1] is gain
            assert gain.gain_pp is None or gain.mean_pp - base == pytest.approx(gain.gain_pp)
    assert sorted(number for group in groups for number, _ in group.gains) == [1, 2, 3, 4]


def test_recipes_of_as_many_epochs_are_told_by_their_configuration() -> None:
    groups = by_baseline(analyse(two_recipes((2, 2))))
    assert [group.apart for group in groups] == ["configuration nonea000", "configuration noneb000"]


def test_where_a_pair_has_one_baseline_nothing_is_added() -> None:
    runs = recipe("a", 2, none=LOW, logit=[15.0, 16.0, 18.0], feature=[15.5, 16.0, 18.0])
    assert shown(by_baseline(analyse(evidence(runs)))) == [
        ("big → little", ["Logit-KD", "Feature-KD"])
    ]


def test_other_seeds_of_a_baseline_in_a_paired_test_are_another_baseline() -> None:
    plain_values = [10.0 + 3 * seed**0.5 for seed in range(MOST_SEEDS + 2)]
    runs = recipe("a", 2, none=plain_values, logit=[20.0, 21.0, None, 22.0], dkd=[None])
    runs += recipe("a", 2, feature=[value + 1 for value in plain_values])
    paired = evidence(runs, statistics=Statistics(test="paired"))
    groups = by_baseline(analyse(paired))
    assert shown(groups) == [
        ("big → little, seeds 0, 1, 3", ["Logit-KD", "dkd"]),  # without a value it joins the first
        ("big → little, seeds 0, 1, 2, 3, 4, 5, …", ["Feature-KD"]),
    ]
    assert [group.first.n_baseline for group in groups] == [3, MOST_SEEDS + 2]
    # A test of independent arms counts every seed, so there is one baseline.
    (group,) = by_baseline(analyse(replace(paired, statistics=Statistics())))
    assert group.apart == ""


def test_a_method_without_a_baseline_stands_under_none() -> None:
    runs = recipe("a", 2, none=LOW, logit=[15.0, 16.0, 18.0]) + recipe("b", 4, feature=HIGH)
    assert shown(by_baseline(analyse(evidence(runs)))) == [
        ("big → little, configuration nonea000", ["Logit-KD"]),
        ("big → little, no baseline", ["Feature-KD"]),
    ]


def test_tables_and_rankings_call_recipes_alike() -> None:
    runs = two_recipes()
    table = gains_table(analyse(runs))
    pairs, plain_levels = table.columns.index("Pair"), table.columns.index("Baseline")
    level = {"2 epochs": spread(16.0, 6.0), "4 epochs": spread(34.0, 1.0)}
    cells = [(str(row[pairs]), row[plain_levels]) for row in table.rows]
    assert len(cells) == 4
    assert all(level[pair.removeprefix("big → little, ")] == plain for pair, plain in cells)
    ranked = rankings(Context(runs))
    assert [(r.name, r.student) for r in ranked] == [
        ("little, 2 epochs", "little"),
        ("little, 4 epochs", "little"),
    ]


def test_every_count_of_gains_is_of_those_that_are_corrected_for() -> None:
    analysis = analyse(two_recipes())
    lost = [gain for gain in analysis.gains if gain.gain_pp is None]
    open_ones = [gain for gain in analysis.gains if gain.verdict == "inconclusive"]
    assert len(lost) == 1
    assert analysis.settings.gains_in_family == len(analysis.gains) == 4
    text = headline(analysis).text
    assert text.startswith("Of 4 gains over plain training, none is shown (")
    assert f"{len(open_ones)} not decided, 1 of them without a result)" in text
