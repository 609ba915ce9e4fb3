"""The cases that are timed: what the published study trains, and what fits a laptop."""

from dataclasses import replace

from kdgap.benchmark.case import BASELINE, FEATURE, GRID, LOGIT, Case
from kdgap.spec.model import ModelSpec

R50, R18 = ModelSpec(name="resnet50"), ModelSpec(name="resnet18")
R20, R8 = ModelSpec(name="resnet20"), ModelSpec(name="resnet8")
DIGITS = ModelSpec(name="resnet8", width=0.25)

CASES = {
    case.key: case
    for case in (
        Case("a", "grid R50 → R18: 9 Logit-KD, 3 Feature-KD, 1 baseline", R18, GRID, R50, 1),
        Case("b", "one Logit-KD run R50 → R18", R18, LOGIT, R50, 2),
        Case("c", "one Feature-KD run R50 → R18", R18, FEATURE, R50, 2),
        Case("d", "teacher training R18", R18, BASELINE, None, 2),
        Case("e", "one Logit-KD run ResNet-20 → ResNet-8, loader included", R8, LOGIT, R20, 40),
        Case("f", "one Logit-KD run on digits", DIGITS, LOGIT, R20, 40, data="digits"),
    )
}
QUICK = [replace(CASES[key], steps=20) for key in "ef"]
