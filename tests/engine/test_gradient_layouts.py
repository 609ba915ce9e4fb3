"""No operation of a training step meets numbers that lie in two ways in memory."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from kdgap.benchmark.case import FEATURE, LOGIT, Case, Students
from kdgap.benchmark.engine_arm import EngineArm
from kdgap.engine.cohort import Member, train_cohort
from kdgap.engine.student import Student
from kdgap.spec.model import ModelSpec
from kdgap.spec.run import Precision

ELEMENTWISE = ("add", "mul", "sub", "div", "relu", "threshold", "clamp", "batch_norm", "copy_")


class Meetings(TorchDispatchMode):
    """Notes elementwise operations over maps of different layouts."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = 0
        self.mixed: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if any(word in str(func) for word in ELEMENTWISE):
            maps = [t for t in tree_leaves((args, kwargs, out)) if is_map(t)]
            self.seen += bool(maps)
            if len({t.is_contiguous(memory_format=torch.channels_last) for t in maps}) > 1:
                self.mixed.add(f"{func} {[(tuple(t.shape), t.stride()) for t in maps]}")
        return out


def is_map(x: Any) -> bool:
    """Feature maps of a batch; not weights, slices of maps, or means that are expanded."""
    return (
        isinstance(x, Tensor)
        and x.dim() == 4
        and len(x) == BATCH
        and min(x.shape[1:]) > 1
        and x.is_floating_point()
        and (x.is_contiguous() or x.is_contiguous(memory_format=torch.channels_last))
    )


BATCH = 6


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("students", [LOGIT, FEATURE])
@pytest.mark.parametrize(
    "model",
    [
        ModelSpec(name="resnet8", width=0.25),
        ModelSpec(name="resnet8", width=0.5),
        ModelSpec(name="resnet18"),
        ModelSpec(name="resnet8", width=0.0625),
        ModelSpec(name="shufflenetv2"),
    ],
)
def test_layouts_never_meet_in_a_step(
    model: ModelSpec, students: Students, precision: Precision
) -> None:
    # The teacher's maps are a quarter of ResNet-18's, which are therefore pooled.
    teacher = model
    if model.name == "resnet18":
        teacher = ModelSpec(name="resnet34", stem="imagenet")
    case = Case("t", "tiny", model, students, teacher, 1, image_size=32, batch_size=BATCH)
    arm = EngineArm(case, precision)
    data = arm._dataset
    student = Student(arm._runs[0], data, data.train.labels, arm._teacher, torch.device("cpu"))
    member = Member(student)
    meetings = Meetings()
    with meetings:
        train_cohort([member], arm._teacher, arm._stream, arm._val, probe=True)
    assert member.failure is None
    assert meetings.seen > 10
    assert meetings.mixed == set()
