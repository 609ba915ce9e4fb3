"""What a method cannot do is refused before anything is trained, in one line."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from kdgap.errors import BadInputError
from kdgap.methods import METHODS, build_method
from kdgap.methods.shared import by_last
from kdgap.models import MODELS
from kdgap.planning.fit import check_stages, clipped_weights, stage_pairs
from kdgap.planning.parts import part_sizes
from kdgap.spec.model import ClassifierOf, ModelSpec
from kdgap.spec.run import DataSpec, MethodSpec, RecipeSpec, RunSpec, TeacherSpec


def run_of(
    method: str, student: str = "resnet8", teacher: str = "resnet20", **changes: Any
) -> RunSpec:
    parameters = build_method(method, changes.pop("parameters", {})).parameters()
    taught = TeacherSpec(model=ModelSpec(name=teacher), weight_hash="0" * 64, weights="none")
    return RunSpec(
        data=DataSpec(name="digits", val_size=10),
        model=ModelSpec(name=student),
        method=MethodSpec(name=method, parameters=parameters),
        teacher=taught if METHODS[method].needs_teacher else None,
        **changes,
    )


@pytest.mark.parametrize("method", list(METHODS))
def test_what_a_network_lacks_is_refused_and_nothing_else(
    method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = run_of(method)
    check_stages(run)
    stages = MODELS["resnet8"].stages
    own = build_method(method, {})
    read = own.student_taps(stages).kinds, own.teacher_taps(stages).kinds
    if own.deploys_another:  # whose classifier is taken out
        read = read[0] | {"pooled", "classifier"}, read[1]
    for kind in ("maps", "before_relu", "embedding", "classifier", "norms", "pooled"):
        for name, needed in zip(("resnet8", "resnet20"), read, strict=True):
            with monkeypatch.context() as patch:
                lacking = replace(MODELS[name], lacks=(kind,))
                patch.setitem(MODELS._entries, name, lacking)
                if kind in needed and run.teacher is not None:
                    with pytest.raises(BadInputError, match=f"{name} has none"):
                        check_stages(run)
                else:
                    check_stages(run)


def check(run: RunSpec, images: int, classes: int) -> None:
    part_sizes(run, 3, (32, 32), classes, torch.arange(images) % classes)


@pytest.mark.parametrize(
    ("method", "parameters", "refused"),
    [
        ("dkd", {}, True),
        ("dkd", {"beta": 0.0}, False),
        ("nkd", {}, True),
        ("rld", {}, True),
        ("logit", {}, False),
        ("dist", {}, False),
        ("ttm", {}, False),
    ],
)
def test_two_classes(method: str, parameters: dict[str, Any], refused: bool) -> None:
    run = run_of(method, parameters=parameters)
    check(run, 1000, 3)
    if not refused:
        check(run, 1000, 2)
        return
    with pytest.raises(BadInputError, match=f"^{method} compares the classes beside the true one"):
        check(run, 1000, 2)


def test_triples_of_a_large_batch() -> None:
    large = RecipeSpec(batch_size=1024)
    with pytest.raises(BadInputError, match="at most 512 images, got a batch_size of 1024"):
        check(run_of("rkd", recipe=large), 5000, 10)
    check(run_of("rkd", recipe=large, parameters={"angle_weight": 0.0}), 5000, 10)


def test_a_hint_at_a_stage_that_is_not_there() -> None:
    with pytest.raises(BadInputError, match="stage 4, but the student has 3 stages"):
        check_stages(run_of("fitnet", parameters={"stage": 4}))


def test_three_and_four_stages_are_paired_from_the_last_or_refused() -> None:
    expected = [("layer1", "layer2"), ("layer2", "layer3"), ("layer3", "layer4")]
    for method in ("at", "nst", "vid", "ofd", "reviewkd"):
        run = run_of(method, teacher="resnet18")
        check_stages(run)
        assert stage_pairs(run) == expected
        assert stage_pairs(run_of(method, "resnet18", "resnet20")) == [p[::-1] for p in expected]
    with pytest.raises(BadInputError, match="3 feature stages and the teacher 4"):
        check_stages(run_of("feature", teacher="resnet18"))
    assert by_last("abc", "xyz") == [("a", "x"), ("b", "y"), ("c", "z")]


def test_a_large_weight_beside_clipping_is_said() -> None:
    assert clipped_weights(run_of("at")).startswith("at weighs its loss by 1000, and gradients are")
    assert not clipped_weights(run_of("at", recipe=RecipeSpec(clip_scope="off")))
    assert not clipped_weights(run_of("at", parameters={"weight": 99.0}))
    assert not clipped_weights(run_of("logit_mse", parameters={"ce_weight": 1000.0}))
    assert clipped_weights(run_of("dkd", parameters={"beta": 200.0})).startswith("dkd weighs its")
    assert clipped_weights(run_of("dkd+logit", parameters={"dkd_beta": 200.0}))
    warned = {name for name in METHODS if clipped_weights(run_of(name))}
    assert warned == {"at", "sp", "pkt", "cc", "fitnet", "cat_kd"}


@pytest.mark.parametrize("method", list(METHODS))
def test_a_teacher_with_another_networks_classifier_is_refused_where_that_matters(
    method: str,
) -> None:
    run = run_of(method)
    if run.teacher is None:
        return
    taken = ClassifierOf(name="resnet32")
    model = run.teacher.model.model_copy(update={"classifier": taken})
    run = run.model_copy(update={"teacher": run.teacher.model_copy(update={"model": model})})
    if method in ("srrl", "cat_kd", "simkd"):
        with pytest.raises(BadInputError, match="the classifier of a resnet32"):
            check_stages(run)
    else:
        check_stages(run)


@pytest.mark.parametrize("method", list(METHODS))
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0, 1e9, "much"])
def test_weights_that_are_no_weights(method: str, value: object) -> None:
    for name in build_method(method, {}).parameters():
        if name.endswith("weight") or name == "alpha":
            with pytest.raises(BadInputError, match=name):
                build_method(method, {name: value}, flat=False)  # type: ignore[dict-item]
