"""Networks of every family learn and teach by methods that read all that can be read."""

from typing import Any

import pytest
import torch
from torch import Tensor

from kdgap.benchmark.case import random_images
from kdgap.data import BatchStream
from kdgap.engine.cohort import Member, train_cohort
from kdgap.engine.student import Student
from kdgap.engine.teacher import Teacher
from kdgap.errors import BadInputError
from kdgap.methods import METHODS, build_method
from kdgap.models.build import build_model
from kdgap.planning.fit import check_stages
from kdgap.spec.model import ModelSpec
from kdgap.spec.run import DataSpec, MethodSpec, RecipeSpec, RunSpec, TeacherSpec

CPU = torch.device("cpu")
SIZE, IMAGES = 16, 12
SMALL = ModelSpec(name="resnet8", width=0.25)
READING = ("logit", "reviewkd", "ofd", "crd", "srrl", "simkd")
"""Together they read every tap, of the student or of the teacher."""
NAMES = ("wrn_16_1", "vgg8", "mobilenetv2_half", "shufflenetv1", "shufflenetv2")


def run_of(method: str, student: ModelSpec, teacher: ModelSpec) -> RunSpec:
    example = METHODS[method].examples[0]
    return RunSpec(
        data=DataSpec(name="cifar10", val_size=10, augmentation="crop_flip"),
        model=student,
        method=MethodSpec(name=method, parameters=build_method(method, example).parameters()),
        teacher=TeacherSpec(model=teacher, weight_hash="0" * 64, weights="none"),
        recipe=RecipeSpec(epochs=1, batch_size=IMAGES),
    )


def trained(run: RunSpec) -> dict[str, Tensor]:
    """Return the weights after one step, from a random teacher."""
    dataset = random_images(IMAGES, SIZE)
    assert run.teacher is not None
    frozen = build_model(run.teacher.model, len(dataset.classes), 3, (SIZE, SIZE), 1)
    teacher = Teacher(frozen, run, CPU, dataset.seen_by(None))
    member = Member(Student(run, dataset, dataset.train.labels, teacher, CPU))
    start = member.student.network_state()
    stream = BatchStream(dataset.train, IMAGES, 0, "crop_flip")
    train_cohort([member], teacher, stream, dataset.train, probe=False)
    if member.failure is not None:
        raise member.failure
    end = member.student.network_state()
    assert all(bool(torch.isfinite(value).all()) for value in end.values())
    # What every network has at its start, far from the loss.
    first = next(name for name, value in start.items() if value.ndim == 4)
    assert not torch.equal(start[first], end[first])
    return end


@pytest.mark.parametrize("name", NAMES)
def test_a_step_with_methods_that_read_everything(name: str) -> None:
    network = ModelSpec(name=name)
    refused = set()
    for student, teacher in ((network, SMALL), (SMALL, network)):
        for method in READING:
            run = run_of(method, student, teacher)
            try:
                check_stages(run)
            except BadInputError as error:
                assert f"{name} has none" in str(error)  # noqa: PT017  (the rest is trained)
                refused.add((method, student is network))
                continue
            trained(run)
    shuffles = {("ofd", True), ("ofd", False), ("reviewkd", False)}
    assert refused == (shuffles if name.startswith("shufflenet") else set())


@pytest.mark.parametrize(
    ("method", "teacher", "words"),
    [
        ("ofd", {"name": "shufflenetv1"}, "before their last ReLU, and shufflenetv1 has none"),
        ("reviewkd", {"name": "shufflenetv2"}, "before their last ReLU, and shufflenetv2"),
        (
            "cat_kd",
            {"name": "torchvision:vit_b_16", "arguments": {"image_size": 32}},
            "a last map that is averaged before the classifier, and torchvision:vit_b_16 has none",
        ),
        (
            "simkd",
            {
                "name": "timm:vit_tiny_patch16_224",
                "arguments": {"img_size": 32, "patch_size": 4},
            },
            "a last map that is averaged before the classifier, and timm:vit_tiny_patch16_224",
        ),
        (
            "cat_kd",
            {"name": "timm:convnext_atto", "arguments": {"patch_size": 1}},
            "a last map that is averaged before the classifier, and timm:convnext_atto has none",
        ),
        (
            "ofd",
            {"name": "torchvision:resnet18"},
            "before their last ReLU, and torchvision:resnet18",
        ),
    ],
)
def test_what_a_network_lacks_is_refused_in_a_line(
    method: str, teacher: dict[str, Any], words: str
) -> None:
    if teacher["name"].startswith("timm:"):
        pytest.importorskip("timm")
    run = run_of(method, SMALL, ModelSpec.model_validate(teacher))
    with pytest.raises(BadInputError, match=f"^{method} reads .*{words}.*; choose another") as no:
        check_stages(run)
    assert "\n" not in str(no.value)


def test_a_students_dropout_is_addressed() -> None:
    student = ModelSpec(name="wrn_16_1", arguments={"dropout": 0.5})
    run = run_of("logit", student, SMALL)
    ends = []
    for seed in (1, 2):  # whatever else was drawn
        torch.manual_seed(seed)
        ends.append(trained(run))
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])
    without = trained(run_of("logit", ModelSpec(name="wrn_16_1"), SMALL))
    assert not torch.equal(ends[0]["layer1.0.conv2.weight"], without["layer1.0.conv2.weight"])
