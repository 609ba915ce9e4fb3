"""Curves minus plain training: paired by seed where seeds are shared, on epochs that both have."""

import pytest

from kdgap.judge.curves import over_plain, over_runs
from kdgap.judge.evidence import Run
from tests.judge.builders import but, final, plain, runs_of


def with_history(run: Run, values: list[float], key: str = "val_acc") -> Run:
    epochs = [{"epoch": epoch, key: value} for epoch, value in enumerate(values, 1)]
    return but(run, history=epochs)


def runs(slot_of: str, curves: dict[int, list[float]], key: str = "val_acc") -> list[Run]:
    slot = plain("little") if slot_of == "plain" else final("big", "little", "logit")
    return [
        with_history(run, curve, key)
        for seed, curve in curves.items()
        for run in runs_of(slot, [90.0], first_seed=seed)
    ]


def test_each_seed_is_compared_with_plain_training_of_the_same_seed() -> None:
    own = runs("final", {0: [0.50, 0.70], 1: [0.40, 0.90], 2: [0.1, 0.1]})
    other = runs("plain", {0: [0.40, 0.60], 1: [0.10, 0.85], 7: [0.9, 0.9]})
    difference = over_plain(own, other, "val_acc")
    assert difference is not None
    assert difference.paired
    epochs, mean, low, high, seeds = difference.curve
    assert epochs.tolist() == [1, 2]
    assert mean.tolist() == pytest.approx([0.20, 0.075])
    assert low.tolist() == pytest.approx([0.10, 0.05])
    assert high.tolist() == pytest.approx([0.30, 0.10])
    assert seeds == 2  # seed 2 has no partner, and seed 7 none either


def test_without_a_shared_seed_each_is_compared_with_the_mean() -> None:
    own, other = runs("final", {0: [0.5], 1: [0.7]}), runs("plain", {8: [0.2], 9: [0.4]})
    difference = over_plain(own, other, "val_acc")
    assert difference is not None
    assert not difference.paired
    _, mean, low, high, seeds = difference.curve
    assert (mean[0], low[0], high[0], seeds) == pytest.approx((0.3, 0.2, 0.4, 2))


def test_a_seed_of_several_teachers_is_one_curve() -> None:
    (first,), (second,) = (runs("final", {0: [value]}) for value in (0.5, 0.9))
    other = runs("plain", {0: [0.4]})
    difference = over_plain([first, but(second, id="another")], other, "val_acc")
    assert difference is not None
    assert difference.curve[1].tolist() == pytest.approx([0.3])
    assert difference.curve[4] == 1


def test_only_epochs_that_both_recorded_are_compared() -> None:
    own, other = runs("final", {0: [0.1, 0.2, 0.3]}), runs("plain", {0: [0.0, 0.0, 0.0, 0.5]})
    other = [but(run, history=run.history.document[1:]) for run in other]
    difference = over_plain(own, other, "val_acc")
    assert difference is not None
    assert difference.curve[0].tolist() == [2, 3]


@pytest.mark.parametrize("lacking", ["failed", "zeros", "nothing"])
def test_what_has_no_curve_has_no_difference(lacking: str) -> None:
    own, other = runs("final", {0: [0.5, 0.6]}), runs("plain", {0: [0.4, 0.5]})
    if lacking == "failed":
        other = [but(run, state="failed") for run in other]
    elif lacking == "zeros":  # what an import writes where nothing was recorded
        other = runs("plain", {0: [0.0, 0.0]})
    else:
        other = []
    assert over_plain(own, other, "val_acc") is None
    assert over_runs(own, "val_acc") is not None
