"""Image by image: every number counted by hand, on six images of three classes."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kdgap.judge.answers import NoAnswersError, network_of, teacher_of
from kdgap.judge.context import Context
from kdgap.judge.evidence import Evidence, Run
from kdgap.judge.image_by_image import (
    BINS,
    MOST_CLASSES,
    agreeing,
    disputed_images,
    image_by_image,
    pictured_run,
)
from kdgap.spec.slot import Slot
from kdgap.store.manifest import PREDICTIONS_TEST
from tests.judge.builders import evidence, final, runs_of
from tests.judge.kept_answers import (
    DISTILLED,
    LABELS,
    failed,
    forget,
    given_a_teacher,
    keep,
    logits_of,
    of_two_teachers,
    study_of,
    with_answers,
)


def shown(known: Evidence) -> Any:
    context = Context(known)
    (arm,) = context.finals
    return image_by_image(arm, context.baseline(arm), known)


def test_accuracies_are_those_that_the_runs_recorded(tmp_path: Path) -> None:
    known = study_of(tmp_path)
    pictured = shown(known)
    assert (pictured.images, pictured.classes) == (6, ("cat", "dog", "owl"))
    assert pictured.teacher.accuracy == pytest.approx(5 / 6)
    assert pictured.plain.accuracy == pytest.approx(4 / 6)
    assert pictured.distilled.accuracy == pytest.approx(5 / 6)
    (arm,) = Context(known).finals
    assert 100 * pictured.distilled.accuracy == pytest.approx(
        np.mean(list(arm.by_seed("best").values()))
    )


def test_confusions_are_mean_counts_and_rows_sum_to_the_images_of_a_class(tmp_path: Path) -> None:
    pictured = shown(study_of(tmp_path))
    assert pictured.matrix.plain == ((1.0, 1.0, 0.0), (0.0, 1.5, 0.5), (0.5, 0.0, 1.5))
    assert pictured.matrix.distilled == ((1.5, 0.5, 0.0), (0.0, 2.0, 0.0), (0.0, 0.5, 1.5))
    assert {(pair.label, pair.answer): (pair.plain, pair.distilled) for pair in pictured.pairs} == {
        (0, 1): (1.0, 0.5),
        (1, 2): (0.5, 0.0),
        (2, 0): (0.5, 0.0),
        (2, 1): (0.0, 0.5),
    }


def test_outcomes_are_shares_of_all_images(tmp_path: Path) -> None:
    pictured = shown(study_of(tmp_path))
    own, plain = pictured.outcomes, pictured.plain_outcomes
    assert sum(vars(own).values()) == pytest.approx(1)
    # Seed 0 answers as its teacher; seed 1 misses image 1 and is right about image 5.
    assert own.both_right == pytest.approx((5 + 4) / 12)
    assert (own.teacher_only, own.student_only) == pytest.approx((1 / 12, 1 / 12))
    assert (own.both_wrong_alike, own.both_wrong_apart) == pytest.approx((1 / 12, 0))
    assert plain.both_wrong_apart == pytest.approx(1 / 12)  # owl: the teacher a dog, it a cat


def test_the_most_disputed_images_come_first(tmp_path: Path) -> None:
    disputed = shown(study_of(tmp_path)).disputed
    assert [(image.index, image.share, image.plain_share) for image in disputed] == [
        (1, 0.5, 1.0),
        (5, 0.5, 1.0),
    ]
    assert (disputed[0].label, disputed[0].teacher, disputed[0].plain) == (0, 0, 1)


def test_reliability_bins_are_those_of_the_calibration_error(tmp_path: Path) -> None:
    reliability = shown(study_of(tmp_path)).teacher.reliability
    confidence = math.exp(2) / (math.exp(2) + 2)
    place = math.ceil(confidence * BINS) - 1
    assert sum(reliability.counts) == reliability.counts[place] == 6
    assert reliability.confidence[place] == pytest.approx(confidence, abs=1e-3)
    assert reliability.accuracy[place] == pytest.approx(5 / 6)
    assert reliability.accuracy[0] is None


def test_an_ensemble_is_of_mean_probabilities(tmp_path: Path) -> None:
    pictured = shown(study_of(tmp_path))
    assert pictured.teacher.ensemble is None
    # Where two students differ their mean is a draw, which the first class wins.
    assert pictured.distilled.ensemble == pytest.approx(5 / 6)
    low, high = pictured.distilled.ensemble_ci95
    assert low < 5 / 6 < high


def test_a_surer_student_outvotes_two(tmp_path: Path) -> None:
    known = study_of(tmp_path, distilled=[(1,) * 6, (1,) * 6, LABELS], beside=[LABELS] * 3)
    run = [r for r in known.runs if r.has_role("final")][2]
    logits = {"best": logits_of(LABELS, 20), "last": logits_of(LABELS, 20)}
    keep(tmp_path / run.paths[0], logits, {"best": "1", "last": "2"}, LABELS)
    weak = [logits_of([1] * 6, 0.1)] * 2
    for other, values in zip([r for r in known.runs if r.has_role("final")][:2], weak, strict=True):
        keep(
            tmp_path / other.paths[0],
            {"best": values, "last": values},
            {"best": "1", "last": "2"},
            LABELS,
        )
    assert shown(known).distilled.ensemble == 1


def test_agreement_is_symmetric_and_of_every_two(tmp_path: Path) -> None:
    agreement = shown(study_of(tmp_path)).agreement
    assert agreement.sides == ("teacher", "plain", "plain", "distilled", "distilled")
    shares = np.array(agreement.shares)
    assert (shares == shares.T).all()
    assert np.diag(shares).tolist() == [1.0] * 5
    assert shares[0].tolist() == pytest.approx([1, 4 / 6, 3 / 6, 1, 4 / 6])


def test_one_run_is_compared_with_every_other(tmp_path: Path) -> None:
    known = study_of(tmp_path)
    run = next(r for r in known.runs if r.has_role("final"))
    shares = agreeing(run, known)
    assert shares[0] == ("teacher", 1.0)
    assert len(shares) == 4
    assert [share for _, share in shares] == sorted((s for _, s in shares), reverse=True)


def test_a_teacher_given_as_a_file_is_kept_by_its_students(tmp_path: Path) -> None:
    known = study_of(tmp_path)
    run = next(r for r in known.runs if r.has_role("final"))
    given = with_answers(tmp_path, replace(run, teacher=None), LABELS, teacher=(2,) * 6)
    network = teacher_of(given, known)
    assert (network.run, network.name) == ("given teacher", "teacher")
    assert network.answers().tolist() == [2] * 6


def test_a_teacher_given_as_a_file_is_one_network_of_all_its_students(tmp_path: Path) -> None:
    pictured = shown(given_a_teacher(tmp_path))
    teacher = pictured.teacher
    assert (teacher.runs, teacher.ensemble) == (("given teacher",), None)
    assert sum(teacher.reliability.counts) == 6
    agreement = pictured.agreement
    assert list(zip(agreement.sides, agreement.seeds, strict=True)) == [
        ("teacher", ""),
        ("plain", "0"),
        ("plain", "1"),
        ("distilled", "0"),
        ("distilled", "1"),
    ]
    assert pictured.left_out == ""


def test_the_teacher_is_the_weights_that_taught(tmp_path: Path) -> None:
    known = study_of(tmp_path)
    run = next(r for r in known.runs if r.has_role("final"))
    last = with_answers(tmp_path, run, LABELS, teacher="teacher last")
    assert teacher_of(last, known).name == "last"
    other = with_answers(tmp_path, run, LABELS, teacher="others")
    with pytest.raises(NoAnswersError, match="other weights"):
        teacher_of(other, known)


def test_without_a_teacher_or_plain_students_their_sides_are_empty(tmp_path: Path) -> None:
    runs = runs_of(final("big", "little", "logit"), [50.0, 50.0])
    known = evidence([with_answers(tmp_path, run, LABELS) for run in runs], path=str(tmp_path))
    pictured = shown(known)
    assert (pictured.teacher, pictured.plain, pictured.outcomes, pictured.disputed) == (
        None,
        None,
        None,
        (),
    )
    assert pictured.matrix.plain is None
    assert pictured.pairs == ()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"origin": "import"}, "result files of others"),
        ({"primary": "last"}, ""),
    ],
)
def test_what_cannot_be_shown_says_why(tmp_path: Path, change: dict[str, Any], reason: str) -> None:
    known = study_of(tmp_path, **change)
    if not reason:
        assert shown(known).distilled.accuracy == pytest.approx(5 / 6)
        return
    with pytest.raises(NoAnswersError, match=reason):
        shown(known)


def test_runs_that_kept_none_are_named(tmp_path: Path) -> None:
    known = study_of(tmp_path)
    run = next(r for r in known.runs if r.has_role("final"))
    (tmp_path / run.paths[0] / PREDICTIONS_TEST).write_bytes(b"changed")
    with pytest.raises(NoAnswersError, match="changed after the run was finished"):
        network_of(run, known)


def test_runs_of_other_images_are_not_mixed(tmp_path: Path) -> None:
    known = study_of(tmp_path)
    run = [r for r in known.runs if r.has_role("final")][1]
    with_answers(tmp_path, run, LABELS[::-1], LABELS[::-1])
    with pytest.raises(NoAnswersError, match="different images"):
        shown(known)
    (arm,) = Context(known).finals
    with pytest.raises(NoAnswersError, match="different images"):
        disputed_images(arm, None, known)


def test_many_classes_have_pairs_and_no_matrix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert MOST_CLASSES > 10
    monkeypatch.setattr("kdgap.judge.image_by_image.MOST_CLASSES", 2)
    pictured = shown(study_of(tmp_path))
    assert pictured.matrix is None
    assert len(pictured.pairs) == 4


def test_a_teacher_of_before_leaves_its_side_empty(tmp_path: Path) -> None:
    known = study_of(tmp_path)
    (teacher,) = (r for r in known.runs if r.has_role("teacher"))
    forget(tmp_path, teacher)
    pictured = shown(known)
    assert pictured.left_out.startswith("Shown are 0 of 1 teachers;")
    assert (pictured.teacher, pictured.outcomes, pictured.disputed) == (None, None, ())
    with pytest.raises(NoAnswersError, match="before runs kept"):
        network_of(teacher, known)


def finals_of(known: Evidence) -> list[Run]:
    return [run for run in known.runs if run.has_role("final")]


def test_an_arm_of_which_some_runs_kept_nothing_shows_the_others(tmp_path: Path) -> None:
    answers = (LABELS, *DISTILLED, LABELS)
    known = study_of(tmp_path, distilled=answers, beside=[LABELS] * 4)
    first, _, third, last = finals_of(known)
    forget(tmp_path, first)
    (tmp_path / third.paths[0] / PREDICTIONS_TEST).write_bytes(b"changed")
    pictured = shown(known)
    assert pictured.distilled.runs == tuple(run.id for run in finals_of(known)[1::2])
    assert pictured.distilled.accuracy == pytest.approx((5 / 6 + 1) / 2)
    assert len(pictured.plain.runs) == 4
    assert pictured.left_out.startswith("Shown are 2 of 4 distilled students;")
    (arm,) = Context(known).finals
    assert pictured_run(arm, known) == tmp_path / finals_of(known)[1].paths[0]
    assert shown(study_of(tmp_path / "whole")).left_out == ""
    forget(tmp_path, finals_of(known)[1])
    forget(tmp_path, last)
    with pytest.raises(NoAnswersError, match="before runs kept"):
        shown(known)


def test_plain_students_are_those_of_their_mean_accuracy(tmp_path: Path) -> None:
    known = failed(study_of(tmp_path), "final", 0)
    pictured = shown(known)
    assert (len(pictured.plain.runs), pictured.left_out) == (2, "")
    assert pictured.plain.accuracy == pytest.approx(4 / 6)
    # Each is compared with the teacher, also the one whose distilled student failed.
    assert pictured.plain_outcomes.both_right == pytest.approx((4 + 3) / 12)
    assert pictured.disputed[0].plain_share == 1
    forget(tmp_path, next(run for run in known.runs if run.has_role("baseline")))
    pictured = shown(known)
    assert pictured.left_out.startswith("Shown are 1 of 2 plain students;")


def test_the_run_whose_images_are_pictured_is_one_that_is_shown(tmp_path: Path) -> None:
    known = failed(study_of(tmp_path), "final", 0)
    (arm,) = Context(known).finals
    assert pictured_run(arm, known) == tmp_path / finals_of(known)[1].paths[0]


def test_who_agrees_is_named_by_its_seed(tmp_path: Path) -> None:
    known = failed(study_of(tmp_path), "baseline", 0)
    agreement = shown(known).agreement
    assert agreement.sides == ("teacher", "plain", "distilled", "distilled")
    assert agreement.seeds == ("0", "1", "0", "1")


def test_students_of_several_teachers_are_named_by_both_seeds(tmp_path: Path) -> None:
    agreement = shown(of_two_teachers(tmp_path)).agreement
    assert agreement.sides == ("teacher",) * 2 + ("distilled",) * 4
    assert agreement.seeds == ("0", "1", "0/0", "0/1", "1/0", "1/1")


def test_only_runs_that_keep_answers_count_towards_the_most(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kdgap.judge.image_by_image.MOST_OTHERS", 2)
    known = study_of(tmp_path)
    run, other = finals_of(known)
    slot = Slot("selection", "big", "little", "logit", "alpha 0.5")
    tried = [replace(r, test={}) for r in runs_of(slot, [50.0] * 3)]
    before = runs_of(Slot("ablation", "big", "little", "logit"), [50.0] * 3)
    for old in before:
        forget(tmp_path, old)
    known = replace(known, runs=(*tried, *before, run, other, *known.runs[:-2]))
    plains = [r.id for r in known.runs if r.has_role("baseline")]
    assert [name for name, _ in agreeing(run, known)] == [other.id, plains[0]]
