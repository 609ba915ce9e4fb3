"""`kdgap models`: the listing, the search in all sources, one network in full."""

import json
import subprocess
import sys
from collections.abc import Callable
from subprocess import CompletedProcess
from typing import Any

import pytest

from kdgap.cli import printing
from kdgap.models import MODELS

Command = Callable[..., "CompletedProcess[str]"]
Refused = Callable[..., str]
VIT = ("torchvision:vit_b_16", "--set", "image_size=32")


def of_one(kdgap: Command, *words: object) -> dict[str, Any]:
    (document,) = json.loads(kdgap("models", *words, "--json").stdout)
    assert isinstance(document, dict)
    return document


def test_the_listing_is_short_and_names_every_network(
    kdgap: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(printing.out, "_width", None)  # of an earlier test
    monkeypatch.setenv("COLUMNS", "80")
    lines = kdgap("models").stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert len(lines) <= 30
    words = {word.strip(",") for line in lines for word in line.split()}
    assert words >= set(MODELS)
    assert words >= {"torchvision:NAME;", "timm:NAME", "package.module:factory"}


def test_the_listing_loads_neither_torch_nor_other_peoples_networks() -> None:
    code = (
        "import sys; from kdgap.cli import run; from kdgap.cli.app import app\n"
        "sys.argv = ['kdgap', 'models', '--json']\n"
        "try: run(app)\n"
        "except SystemExit as ended: assert ended.code == 0\n"
        "print({'torch', 'torchvision', 'timm'} & set(sys.modules), file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.stderr == "set()\n"
    rows = json.loads(done.stdout)
    assert {row["name"] for row in rows} == set(MODELS)
    assert all(row["parameters"] and row["flops"] for row in rows)


def test_a_part_of_a_name_is_looked_for_in_all_sources(kdgap: Command) -> None:
    pytest.importorskip("timm")
    rows = json.loads(kdgap("models", "MobileNetV2", "--json").stdout)
    names = {row["name"]: row["source"] for row in rows}
    assert names["mobilenetv2_half"] == "kdgap"
    assert names["timm:mobilenetv2_100"] == "timm"
    assert all("mobilenetv2" in name for name in names)
    shown = kdgap("models", "vit").stdout
    assert "torchvision:vit_b_16" in shown
    assert "more of timm" in shown
    assert len(shown.splitlines()) < 70


def test_a_search_may_be_in_one_source(kdgap: Command, refused: Refused) -> None:
    rows = json.loads(kdgap("models", "torchvision:vit", "--json").stdout)
    assert {row["source"] for row in rows} == {"torchvision"}
    error = refused(kdgap, "models", "torchvision:vit_c_16")
    start, _, near = error.partition(" (near: ")
    assert start == "no network has 'torchvision:vit_c_16' in its name"
    names = ("vit_b_16", "vit_h_14", "vit_l_16")
    assert sorted(near.rstrip(")").split(", ")) == [f"torchvision:{name}" for name in names]


def test_what_no_network_is_called_gets_the_nearest_names(kdgap: Command, refused: Refused) -> None:
    assert "(near: resnet8" in refused(kdgap, "models", "resnt8")
    assert refused(kdgap, "models", "qqqqqqqq").endswith("; `kdgap models` lists ours")


def test_without_timm_the_rest_is_searched(
    kdgap: Command, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    done = kdgap("models", "shufflenetv", "--json")
    assert {row["name"] for row in json.loads(done.stdout)} >= {"shufflenetv2", "shufflenetv2_1.5"}
    assert not [row for row in json.loads(done.stdout) if row["source"] == "timm"]
    assert "timm is not installed" in done.stderr
    assert "timm is not installed" in refused(kdgap, "models", "timm:resnet18")


def test_an_exact_name_is_shown_in_full(kdgap: Command) -> None:
    known = of_one(kdgap, "shufflenetv2", "--classes", 100)
    assert (known["parameters"], known["flops"]) == (1_355_528, 89_008_896)
    assert known["stages"] == {
        "layer1": [116, 16, 16],
        "layer2": [232, 8, 8],
        "layer3": [464, 4, 4],
    }
    assert (known["embedding"], known["pooled"]) == (1024, [1024, 4, 4])
    assert "before their last ReLU" in known["lacks"][0]
    assert (known["warnings"], known["weights"]) == ([], None)
    text = kdgap("models", "wrn_16_2", "--classes", 100).stdout
    for words in ("703,284", "202 M", "128x8x8", "Zagoruyko", "nothing that a method reads"):
        assert words in text


def test_what_a_network_is_built_from_may_be_given(kdgap: Command, refused: Refused) -> None:
    assert of_one(kdgap, "resnet20", "--set", "shortcut=B")["parameters"] == 272_474
    half = of_one(kdgap, "resnet20", "--set", "width=0.5")
    assert (half["width"], half["embedding"]) == (0.5, 32)
    given = of_one(kdgap, "wrn_16_1", "--arguments", "{dropout: 0.3}")
    assert given["arguments"] == {"dropout": 0.3}
    assert "did you mean 'dropout'" in refused(kdgap, "models", "wrn_16_1", "--set", "dropuot=0.1")
    assert "no width factor" in refused(kdgap, "models", "wrn_16_1", "--set", "width=2.0")
    assert "expected a mapping" in refused(kdgap, "models", "resnet8", "--arguments", "[1]")
    assert "'A' or 'B'" in refused(kdgap, "models", "resnet8", "--set", "shortcut=C")
    assert "for one network" in refused(kdgap, "models", "resnet", "--set", "width=0.5")
    assert "too small" in refused(kdgap, "models", "vgg8", "--image-size", 7)


def test_a_last_map_of_one_pixel_is_warned_of(kdgap: Command) -> None:
    words = ("resnet18", "--set", "stem=imagenet")
    (warning,) = of_one(kdgap, *words)["warnings"]
    assert "1x1 for images of 32x32" in warning
    assert "stem cifar" in warning
    assert "size: 224" in warning
    assert warning in kdgap("models", *words).stdout
    assert of_one(kdgap, *words, "--image-size", 64)["warnings"] == []


def test_networks_of_others_are_shown_in_full(kdgap: Command, refused: Refused) -> None:
    known = of_one(kdgap, *VIT, "--classes", 100)
    assert known["arguments"] == {"image_size": 32}
    assert known["parameters"] == 85_728_100
    assert known["stages"]["stage12"] == [768, 2, 2]
    assert (known["embedding"], known["pooled"]) == (768, None)
    assert "stage1 to stage12" in kdgap("models", *VIT).stdout
    error = refused(kdgap, "models", "torchvision:vit_b_16")
    assert "does not take images of 32x32 pixels" in error
    error = refused(kdgap, "models", "torchvision:resnet18", "--channels", 1)
    assert "3 colour channels" in error
    assert "finds no module 'nosuch'" in refused(kdgap, "models", "nosuch.module:make")


def test_of_timm_the_licence_of_the_weights_is_shown(kdgap: Command) -> None:
    pytest.importorskip("timm")
    words = ("timm:vit_tiny_patch16_224", "--arguments", "{img_size: 32, patch_size: 16}")
    known = of_one(kdgap, *words)
    assert known["weights"].startswith("licence apache-2.0; trained on 3x224x224, mean 0.5")
    assert known["citation"].startswith("timm (Apache-2.0)")
