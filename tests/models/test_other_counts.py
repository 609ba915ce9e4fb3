"""Networks of torchvision and timm, made for 32 pixels by their arguments, have the known sizes."""

from typing import Any

import pytest
import torch
from torch import nn

from kdgap.errors import BadInputError
from kdgap.models.build import build_model, unallocated
from kdgap.models.entry import anatomy
from kdgap.models.search import is_network, search
from kdgap.spec.model import ModelSpec

P4: dict[str, Any] = {"img_size": 32, "patch_size": 4}
P2: dict[str, Any] = {"img_size": 32, "patch_size": 2}
SWIN: dict[str, Any] = {"img_size": 32, "patch_size": 1, "window_size": 4}
# Arguments, parameters at 100 and at 10 classes: counted on what torchvision and timm build.
ROWS: list[tuple[str, dict[str, Any], int, int | None]] = [
    ("timm:vit_tiny_patch16_224", P4, 5_380_132, 5_362_762),
    ("timm:vit_tiny_patch16_224", P2, 5_410_084, 5_392_714),
    ("timm:vit_small_patch16_224", P4, 21_376_996, 21_342_346),
    ("timm:deit_tiny_patch16_224", P4, 5_380_132, 5_362_762),
    ("timm:deit_tiny_distilled_patch16_224", P4, 5_399_816, 5_365_076),
    ("timm:convnext_tiny", {"patch_size": 1}, 27_892_708, 27_823_498),
    ("timm:convnext_tiny", {"patch_size": 2}, 27_930_724, 27_861_514),
    ("timm:convnext_atto", {"patch_size": 1}, 3_404_820, None),
    ("timm:convnext_femto", {"patch_size": 1}, 4_869_124, None),
    ("timm:convnext_pico", {"patch_size": 1}, 8_581_092, None),
    ("timm:swin_tiny_patch4_window7_224", SWIN, 27_575_374, 27_506_164),
    ("timm:efficientnet_b0", {}, 4_135_648, 4_020_358),
    ("timm:mobilenetv3_small_100", {}, 1_620_356, 1_528_106),
    ("timm:regnety_002", {}, 2_830_896, 2_797_686),
    ("torchvision:mobilenet_v2", {}, 2_351_972, None),
    ("torchvision:shufflenet_v2_x1_0", {}, 1_356_104, None),
    ("torchvision:efficientnet_b0", {}, 4_135_648, None),
    ("torchvision:convnext_tiny", {}, 27_897_028, None),
    ("torchvision:vgg16_bn", {}, 134_678_692, None),
    ("torchvision:resnet18", {}, 11_227_812, None),
    ("torchvision:resnet50", {}, 23_712_932, None),
    ("torchvision:vit_b_16", {"image_size": 32}, 85_728_100, None),
]


@pytest.mark.parametrize(("name", "arguments", "parameters", "fewer"), ROWS)
def test_parameters_are_the_known_ones(
    name: str, arguments: dict[str, Any], parameters: int, fewer: int | None
) -> None:
    if name.startswith("timm:"):
        pytest.importorskip("timm")
    spec = ModelSpec(name=name, arguments=arguments)
    network, _ = unallocated(spec, 100, 3, (32, 32))
    assert sum(p.numel() for p in network.parameters()) == parameters
    heads = [m for m in network.modules() if isinstance(m, nn.Linear) and m.out_features == 100]
    assert fewer in (None, parameters - 90 * sum(m.in_features + 1 for m in heads))


def test_a_class_token_is_no_mean_of_a_map() -> None:
    pytest.importorskip("timm")
    assert "pooled" in anatomy(ModelSpec(name="timm:vit_tiny_patch16_224", arguments=P4)).lacks
    assert "pooled" not in anatomy(ModelSpec(name="timm:resnet18")).lacks
    # timm's own words for it are believed: a ViT that averages its tokens has the map.
    given: dict[str, Any] = {**P4, "global_pool": "avg", "class_token": False, "fc_norm": False}
    averaging = ModelSpec(name="timm:vit_tiny_patch16_224", arguments=given)
    assert "pooled" not in anatomy(averaging).lacks
    network = build_model(averaging, 10, 3, (32, 32), 0)
    assert network(torch.randn(2, 3, 32, 32)).logits.shape == (2, 10)


def test_names_are_whole_or_parts() -> None:
    assert is_network("resnet8")
    assert is_network("torchvision:resnet18")
    assert is_network("package.module:factory")
    assert not is_network("resnet")
    assert not is_network("torchvision:resnet")
    names = search("torchvision:RESNET1").names
    assert set(names["torchvision"]) == {f"torchvision:resnet{n}" for n in (18, 101, 152)}
    with pytest.raises(BadInputError, match="no network has 'wrn_16_3' in its name"):
        search("wrn_16_3")
