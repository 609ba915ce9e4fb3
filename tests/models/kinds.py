"""One network of each kind that is ours: what differs in its code, not in its depth."""

from kdgap.models import MODELS

KINDS = (
    *("resnet8", "resnet8x4", "resnet18", "resnet50", "wrn_16_1", "wrn_16_2", "vgg8", "vgg13"),
    *("mobilenetv2_half", "shufflenetv1", "shufflenetv2"),
)
assert {MODELS[name].family for name in KINDS} == {entry.family for _, entry in MODELS.items()}
