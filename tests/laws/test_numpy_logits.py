"""The references of `numpy_logits` and `numpy_contrast` against cases by hand and scipy."""

import math
from typing import Any

import numpy as np
import pytest
from scipy import special, stats

from tests.laws.numpy_cases import RNG, drawn, given, side
from tests.laws.numpy_contrast import crd, crd_state_after
from tests.laws.numpy_logits import (
    asymmetric,
    curriculum,
    curriculum_gradient,
    curriculum_lambda,
    curriculum_temperature,
    mlkd,
    mlkd_masks,
    standardised,
    standardised_logits,
    standardised_mlkd,
)
from tests.laws.numpy_reference import Given, dkd, logit


def contrast(z: Any = (0.0, 0.0), **parameters: float) -> Given:
    """One image, its row 2 of 3, one negative in row 0; embeddings of +1 and -1."""
    return given(
        {"weight": 2.0, "temperature": 0.5, "momentum": 0.5} | parameters,
        side(embedding=[[4.0]]),
        side(embedding=[[5.0, 1.0]]),
        indices=np.array([2]),
        negatives=np.array([[0]]),
        parts={
            "embed_student.weight": [[1.0]],
            "embed_student.bias": [-1.0],
            "embed_teacher.weight": [[-1.0, 0.0]],
            "embed_teacher.bias": [2.0],
            "memory_student": [[0.25], [9.0], [-0.5]],
            "memory_teacher": [[0.1], [9.0], [0.3]],
            "z": z,
        },
    )


def test_crd_by_hand() -> None:
    s_pos, s_neg = math.exp(0.3 / 0.5), math.exp(0.1 / 0.5)
    t_pos, t_neg = math.exp(0.5 / 0.5), math.exp(-0.25 / 0.5)
    noise = 1 / 3

    def h(positive: float, negative: float, z: float) -> float:
        a, b = positive / z, negative / z
        return -math.log(a / (a + noise + 1e-7)) - math.log(noise / (b + noise + 1e-7))

    z_s, z_t = 3 * (s_pos + s_neg) / 2, 3 * (t_pos + t_neg) / 2
    wanted = 2 * (h(s_pos, s_neg, z_s) + h(t_pos, t_neg, z_t))
    assert crd(contrast()) == pytest.approx({"contrast": wanted})
    wanted = 2 * (h(s_pos, s_neg, 5.0) + h(t_pos, t_neg, 7.0))
    assert crd(contrast((5.0, 7.0))) == pytest.approx({"contrast": wanted})
    after = crd_state_after(contrast())
    assert after["z"] == pytest.approx([z_s, z_t])
    assert crd_state_after(contrast((5.0, 7.0)))["z"].tolist() == [5, 7]


def test_crd_of_several_images_and_negatives_in_one_formula() -> None:
    rng = RNG(4)
    e, memories = rng.standard_normal((2, 4, 3)), rng.standard_normal((2, 9, 5))
    weights, biases = rng.standard_normal((2, 5, 3)), rng.standard_normal((2, 5))
    own, others = np.array([7, 0, 3, 4]), rng.integers(9, size=(4, 6))
    parts = {"z": [0.0, 0.0]}
    for at, name in enumerate(("student", "teacher")):
        parts |= {f"embed_{name}.weight": weights[at], f"embed_{name}.bias": biases[at]}
        parts |= {f"memory_{name}": memories[at]}
    known = {"weight": 0.8, "temperature": 0.7, "momentum": 0.5}
    both = side(embedding=e[0]), side(embedding=e[1])
    case = given(known, *both, own, parts=parts, indices=own, negatives=others)
    rows = np.concatenate([own[:, None], others], 1)
    total, f = 0.0, np.empty((2, 4, 5))
    for at in range(2):
        f[at] = e[at] @ weights[at].T + biases[at]
        f[at] /= np.linalg.norm(f[at], axis=1, keepdims=True)
        o = np.exp(np.einsum("bkd,bd->bk", memories[1 - at][rows], f[at]) / 0.7)
        o /= 9 * o.mean()
        total -= np.log(o[:, 0] / (o[:, 0] + 6 / 9 + 1e-7)).sum() / 4
        total -= np.log(6 / 9 / (o[:, 1:] + 6 / 9 + 1e-7)).sum() / 4
    assert crd(case) == pytest.approx({"contrast": 0.8 * total})
    after = crd_state_after(case)
    for at, name in enumerate(("memory_student", "memory_teacher")):
        moved = (memories[at][own] + f[at]) / 2
        moved /= np.linalg.norm(moved, axis=1, keepdims=True)
        assert after[name][own] == pytest.approx(moved)
        assert np.array_equal(np.delete(after[name], own, 0), np.delete(memories[at], own, 0))


def test_the_memories_of_crd_take_their_own_side() -> None:
    after = crd_state_after(contrast(momentum=0.75))  # 0.75 * -0.5 + 0.25 = -0.125, made a unit
    assert after["memory_student"].ravel().tolist() == [0.25, 9, -1]
    assert after["memory_teacher"].ravel().tolist() == [0.1, 9, -1]  # 0.225 - 0.25
    after = crd_state_after(contrast(momentum=0.5))
    assert after["memory_student"].ravel().tolist() == [0.25, 9, 1]
    rows = contrast()
    crd_state_after(rows)
    assert rows.parts["memory_student"].ravel().tolist() == [0.25, 9, -0.5]


def test_mlkd_of_one_view_by_hand() -> None:
    """Two images and classes; the strong view agrees, so that only the weak one is left."""
    a, b = side([[0.0, 0.0], [0.0, 0.0]]), side([[0.0, 2.0], [6.0, 0.0]])
    same = side([[1.0, 2.0], [0.5, 3.0]])
    instance = masked = batch = first = by_class = last = 0.0
    for t in (2, 3, 4, 5, 6):
        x, y = special.expit(2 / t), special.expit(6 / t)
        p = np.array([[1 - x, x], [y, 1 - y]])
        apart = [math.log(2) + float(special.xlogy(row, row).sum()) for row in p]
        instance += t**2 * (apart[0] + apart[1]) / 2
        masked += t**2 * apart[0] / 2  # the second is surer
        batch += float(((p @ p.T - 0.5) ** 2).sum()) / 2
        first += float(((p @ p.T - 0.5) ** 2)[:, 0].sum()) / 2
        by_class += float(((p.T @ p - 0.5) ** 2).sum()) / 2
        last += float(((p.T @ p - 0.5) ** 2)[:, 1].sum()) / 2  # the less probable class
    case = given({"form": "plain", "weight": 0.9}, a, b, [0, 1], strong_view=(same, same))
    wanted = {"instance": 0.9 * instance, "batch": 0.9 * batch, "class": 0.9 * by_class}
    assert mlkd(case) == pytest.approx(wanted)
    assert mlkd_masks(b.logits) == ([True, False], [False, True])
    case = given({"form": "masked", "weight": 1.0}, a, b, [0, 1], strong_view=(same, same))
    wanted = {"instance": masked, "batch": first, "class": last}
    assert mlkd(case) == pytest.approx(wanted)


@pytest.mark.parametrize("form", ["plain", "masked"])
def test_mlkd_adds_the_views_and_masks_by_the_weak_one(form: str) -> None:
    student, teacher, labels = drawn(5)
    other, target, _ = drawn(6)
    views = ((student, teacher), (other, target))
    known = {"form": form, "weight": 1.0}
    whole = mlkd(given(known, *views[0], labels, strong_view=views[1]))
    first = mlkd(given(known, *views[0], labels, strong_view=(teacher, teacher)))
    second = mlkd(given(known, teacher, teacher, labels, strong_view=views[1]))
    for term, value in whole.items():
        assert value == pytest.approx(first[term] + second[term])
        assert value > 0
    images, classes = mlkd_masks(teacher.logits)
    top = special.softmax(teacher.logits, 1).max(1)
    assert images == (top <= np.percentile(top, 50)).tolist()
    assert sum(images) == 3
    assert sum(classes) == 3  # of five, with the median


def test_standardised_logits_are_z_scores_and_move_no_loss_of_others() -> None:
    student, teacher, labels = drawn(7)
    scores = stats.zscore(student.logits, axis=1, ddof=1)
    assert standardised_logits(student.logits) == pytest.approx(scores, rel=1e-6)
    assert not standardised_logits(np.full((2, 5), 3.0)).any()
    known = {"temperature": 2.0, "alpha": 9.0, "beta": 72.0}
    for reference in (logit, dkd):
        plain = reference(given(known, student, teacher, labels))
        case = given(known, side(7 * student.logits - 3), side(0.2 * teacher.logits + 1), labels)
        by_score = reference(
            given(known, side(scores), side(stats.zscore(teacher.logits, 1, 1)), labels)
        )
        assert standardised(reference)(case) == pytest.approx(by_score, rel=1e-5)
        assert by_score != pytest.approx(plain, rel=0.01)


@pytest.mark.parametrize("form", ["plain", "masked"])
def test_standardised_mlkd_changes_its_instance_part_alone(form: str) -> None:
    student, teacher, labels = drawn(8)
    own, other, _ = drawn(9)
    strong = (own, other)
    known = {"form": form, "weight": 0.9}
    case = given(known, student, teacher, labels, strong_view=strong)
    plain, changed = mlkd(case), standardised_mlkd(case)
    assert {k for k in plain if plain[k] != changed[k]} == {"instance"}
    counts = mlkd_masks(teacher.logits)[0] if form == "masked" else [True] * 6
    total = 0.0
    for own, other in ((student, teacher), strong):
        for t in (2, 3, 4, 5, 6):
            z_s, z_t = (stats.zscore(x.logits, 1, 1) / t for x in (own, other))
            p = special.softmax(z_t, 1)
            apart = p * (special.log_softmax(z_t, 1) - special.log_softmax(z_s, 1))
            total += t**2 * apart.sum(1)[counts].sum() / 6
    assert changed["instance"] == pytest.approx(0.9 * total, rel=1e-5)


def test_two_temperatures_by_hand_and_where_they_are_alike() -> None:
    known = {"temperature": 4.0, "temperature_true": 2.0, "temperature_others": 1.0}
    case = given(known, side([[0.0, 0.0, 0.0]]), side([[1.0, 4.0, -1.0]]), [1])
    p = special.softmax([1.0, 2.0, -1.0])
    assert asymmetric(case)["kl"] == pytest.approx(16 * float((p * np.log(3 * p)).sum()))
    student, teacher, labels = drawn(10)
    for alike in (0.0, 4.0):
        same = {"temperature": 4.0, "temperature_true": alike, "temperature_others": 0.0}
        case = given(same, student, teacher, labels)
        assert asymmetric(case) == pytest.approx(logit(case))


def test_curriculum_temperature_and_its_lambda() -> None:
    assert curriculum_temperature(0.0) == 11
    assert curriculum_temperature(1.0) == pytest.approx(15.62, abs=0.005)
    values = [curriculum_lambda(epoch) for epoch in range(20)]
    assert values[4] == pytest.approx(-0.5)
    assert values[9:] == [-1] * 11
    assert values[0] == pytest.approx((math.cos(math.pi / 10) - 1) / 2)
    assert -0.03 < values[0] < 0
    assert values == sorted(values, reverse=True)


def test_gradient_of_the_curriculum_is_the_quotient_of_differences() -> None:
    student, teacher, labels = drawn(11)
    case, step = given({}, student, teacher, labels), 1e-5
    for g in (-3.0, 0.0, 1.0):
        higher, lower = curriculum(case, g + step)["kl"], curriculum(case, g - step)["kl"]
        slope = (higher - lower) / (2 * step)
        assert curriculum_gradient(case, g, 20) == pytest.approx(-slope, rel=1e-6)
        assert curriculum_gradient(case, g, 4) == pytest.approx(-slope / 2, rel=1e-6)
