"""Documents of arms and of two compared: means over teachers, why there is no interval, choices."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kdgap.explorer.documents import arm_document, rank_document, runs_document, study_document
from kdgap.explorer.judged import compare_document
from kdgap.explorer.snapshot import Snapshot
from kdgap.judge.evidence import Run
from kdgap.spec.claims import Statistics
from kdgap.spec.slot import Slot
from tests.judge.builders import Values, analyse, but, evidence, final, plain, runs_of, tuning
from tests.judge.test_baselines import two_recipes


def snapshot_of(runs: list[Run], **changes: Any) -> Snapshot:
    """A snapshot of hand-made runs."""
    whole = evidence(runs, **changes)
    return Snapshot(Path("made"), whole, analyse(whole))


def several_teachers(*by_teacher: Values) -> list[Run]:
    """A plain student, and one that several teachers taught: accuracies of each by seed."""
    runs = runs_of(plain("little"), [88.0, 89.0, 90.0])
    for number, values in enumerate(by_teacher):
        slot = Slot("teacher", None, "big", "none")
        runs += runs_of(slot, [95.0], first_seed=number, id=f"big-{number}", configuration="big")
        taught = runs_of(
            final("big", "little", "logit"), values, configuration="one", teacher=f"big-{number}"
        )
        runs += [replace(run, id=f"{run.id}-{number}") for run in taught]
    return runs


def only(snapshot: Snapshot, role: str) -> int:
    """The number of the one arm of a role."""
    (number,) = (n for n, arm in enumerate(snapshot.arms) if arm.slot.role == role)
    return number


def test_a_seed_of_several_teachers_is_their_mean_as_in_the_judgement() -> None:
    snapshot = snapshot_of(several_teachers([90.0, 92.0, 91.0], [94.0, None, 93.0]))
    number = only(snapshot, "final")
    document = arm_document(snapshot, number)
    means = {mean["seed"]: mean["best"] for mean in document["means"]}
    assert means == pytest.approx({0: 92.0, 2: 92.0})
    assert means == pytest.approx(snapshot.arms[number].by_seed("best"))
    assert document["left_out"] == [1]  # the second teacher's run of it failed
    assert document["mean"] == pytest.approx(92.0)
    last = [mean["last"] for mean in document["means"]]
    assert last == pytest.approx(list(snapshot.arms[number].by_seed("last").values()))


def test_gains_and_rankings_tell_the_recipes_of_an_import_apart() -> None:
    whole = two_recipes()
    snapshot = Snapshot(Path("made"), whole, analyse(whole))
    document = study_document(snapshot)
    gains = document["analysis"]["gains"]
    levels = [round(gain["baseline_mean_pp"]) for gain in gains]
    assert sorted(levels) == [16, 16, 34, 34]
    assert [own["apart"] for own in document["gains"]] == [
        "2 epochs" if level == 16 else "4 epochs" for level in levels
    ]
    ranked = rank_document(snapshot)["students"]
    assert [ranking["key"] for ranking in ranked] == ["little, 2 epochs", "little, 4 epochs"]


def test_the_runs_of_an_arm_name_the_run_that_taught_them() -> None:
    snapshot = snapshot_of(several_teachers([90.0, 92.0], [94.0, 93.0]))
    seeds = arm_document(snapshot, only(snapshot, "final"))["seeds"]
    assert {
        (entry["seed"], entry["teacher"]["seed"], entry["teacher"]["id"]) for entry in seeds
    } == {(seed, number, f"big-{number}") for seed in (0, 1) for number in (0, 1)}
    plainly = arm_document(snapshot, only(snapshot, "baseline"))["seeds"]
    assert [entry["teacher"] for entry in plainly] == [None, None, None]


@pytest.mark.parametrize(("primary", "agreement"), [("best", 0.7), ("last", 0.8)])
def test_agreement_in_the_list_of_runs_is_of_the_weights_that_decide(
    primary: str, agreement: float
) -> None:
    (run,) = runs_of(plain("little"), [90.0])
    test = {
        "best": {"accuracy": 0.9, "top1_agreement": 0.7},
        "last": {"accuracy": 0.8, "top1_agreement": 0.8},
    }
    document = runs_document(snapshot_of([but(run, test=test)], primary=primary))
    (row,) = document["rows"]
    assert row[document["columns"].index("agreement")] == agreement


def difference(baseline: list[Run], method: list[Run], **changes: Any) -> dict[str, Any]:
    """The method minus the baseline, as Compare shows it."""
    snapshot = snapshot_of([*baseline, *method], **changes)
    other: dict[str, Any]
    (other,) = compare_document(snapshot, only(snapshot, "final"))["others"]
    return other


@pytest.mark.parametrize(
    ("baseline", "method", "test", "why"),
    [
        ([90.0], [92.0, 93.0], "welch", "the second has one seed"),
        ([90.0, 91.0], [92.0], "welch", "the first has one seed"),
        ([90.0], [92.0], "welch", "both have one seed"),
        ([90.0, 91.0], [92.0], "paired", "they have one seed in common"),
        ([90.0, 90.0], [92.0, 92.0], "welch", "nothing varies over the seeds"),
        ([90.0, 91.0], [92.0, 93.5], "welch", None),
    ],
)
def test_two_without_an_interval_say_why(
    baseline: Values, method: Values, test: str, why: str | None
) -> None:
    other = difference(
        runs_of(plain("little"), baseline),
        runs_of(final("big", "little", "logit"), method),
        statistics=Statistics(test=test),  # type: ignore[arg-type]
    )
    assert other["value"] is not None
    assert other["no_interval"] == why
    assert (other["ci95"] is None, other["p"] is None) == (why is not None,) * 2
    # Compare shows no seeds needed: nothing is said of what they would rest on.
    assert not [text for text in other["flags"] if "seeds needed" in text or ("interval" in text
                and "holds less" not in text)]  # fmt: skip


def test_two_without_a_common_seed_are_not_compared_seed_by_seed() -> None:
    other = difference(
        runs_of(plain("little"), [90.0, 91.0]),
        runs_of(final("big", "little", "logit"), [92.0, 93.0], first_seed=10),
        statistics=Statistics(test="paired"),
    )
    assert (other["value"], other["no_interval"]) == (None, "they have no seed in common")


def test_both_sides_of_an_ablation_say_what_it_changes() -> None:
    runs = several_teachers([90.0, 92.0])
    for side, values in (("base", [90.0, 91.0]), ("changed", [None, None])):
        runs += runs_of(Slot("ablation", "big", "little", "logit", "", "hot", side), values)
    arms = study_document(snapshot_of(runs, changes={"hot": "recipe.lr becomes 1000"}))["arms"]
    assert {arm["change"] for arm in arms if arm["role"] == "ablation"} == {
        "recipe.lr becomes 1000"
    }
    assert {arm["change"] for arm in arms if arm["role"] != "ablation"} == {""}


def selected(metric: str, split: str = "val") -> Snapshot:
    """Two configurations that selection tried, of which the first was chosen."""
    runs = several_teachers([90.0, 92.0])
    runs = [replace(run, parameters={"alpha": 0.3}) if run.teacher else run for run in runs]
    for alpha in (0.3, 0.6):
        slot = Slot("selection", "big", "little", "logit", f"alpha {alpha}")
        validation = {"best": 0.9, "last": 0.8}
        runs += runs_of(
            slot, [90.0, None], first_seed=1000, parameters={"alpha": alpha}, validation=validation
        )
    tried = replace(
        tuning({"alpha": 0.3}, {0.3: 0.9, 0.6: 0.8}),
        metric=metric,
        split=split,
    )
    return snapshot_of(runs, tunings=(tried,), chosen_on=split)


@pytest.mark.parametrize(
    ("metric", "epoch", "value"), [("best_val_acc", "best", 0.9), ("last_val_acc", "last", 0.8)]
)
def test_what_selection_tried_has_the_validation_that_chose(
    metric: str, epoch: str, value: float
) -> None:
    arms = study_document(selected(metric))["arms"]
    tried = [arm for arm in arms if arm["role"] == "selection"]
    assert [(arm["validation"], arm["validation_epoch"]) for arm in tried] == [(value, epoch)] * 2
    assert [arm["validated"] for arm in tried] == [1, 1]  # the other run failed
    (own,) = (arm for arm in arms if arm["role"] == "final")
    assert own["validation_epoch"] == "best"


def test_what_was_chosen_says_so() -> None:
    snapshot = selected("best_val_acc")
    tried = [arm for arm in study_document(snapshot)["arms"] if arm["role"] == "selection"]
    assert [arm["chosen"] for arm in tried] == [True, False]
    # An import may have finals of both, and then no single winner.
    runs = [
        replace(run, id="other", configuration="other", parameters={"alpha": 0.6})
        for run in snapshot.evidence.runs
        if run.teacher
    ][:1]
    (grid,) = snapshot.evidence.tunings
    both = replace(
        snapshot,
        evidence=replace(
            snapshot.evidence,
            runs=(*snapshot.evidence.runs, *runs),
            tunings=(replace(grid, winner=None),),
        ),
    )
    tried = [arm for arm in study_document(both)["arms"] if arm["role"] == "selection"]
    assert [arm["chosen"] for arm in tried] == [True, True]


@pytest.mark.parametrize("split", ["val", "test"])
def test_the_study_says_which_images_chose(split: str) -> None:
    assert study_document(selected("best_val_acc", split))["chosen_on"] == split


def test_grids_stand_in_the_order_of_the_selection() -> None:
    document = study_document(selected("best_val_acc"))
    (tuned,), (grid,) = document["analysis"]["selection"], document["grids"]
    behind = [cell["behind_pp"] for cell in grid["cells"]]
    scores = [candidate["score"] for candidate in tuned["candidates"]]
    assert behind == pytest.approx([100 * (max(scores) - score) for score in scores])


def test_an_arm_has_its_curves_minus_those_of_its_plain_training() -> None:
    def trained(slot: Slot, accuracies: list[float]) -> list[Run]:
        return [
            but(run, history=[{"epoch": 1, "val_acc": value, "loss_total": 1.0, "loss_ce": 0.5}])
            for run, value in zip(runs_of(slot, [90.0] * 2), accuracies, strict=True)
        ]

    runs = [
        *trained(plain("little"), [0.5, 0.6]),
        *trained(final("big", "little", "logit"), [0.6, 0.8]),
    ]
    snapshot = snapshot_of(runs)
    apart = arm_document(snapshot, only(snapshot, "final"))["over_plain"]
    assert apart["val_acc"] == {
        "epoch": [1.0],
        "mean": [pytest.approx(0.15)],
        "low": [pytest.approx(0.1)],
        "high": [pytest.approx(0.2)],
        "runs": 2,
        "paired": True,
    }
    assert set(apart) == {"val_acc", "loss_ce"}  # a total loss is not one quantity of both
    assert arm_document(snapshot, only(snapshot, "baseline"))["over_plain"] == {}
