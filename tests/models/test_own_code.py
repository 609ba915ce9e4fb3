"""Code of the user's own that exits, fails or prints: what happened is said, in one line."""

import sys
from pathlib import Path

import pytest

from kdgap.errors import BadInputError
from kdgap.models.build import check_model
from kdgap.models.described import described
from kdgap.models.from_factory import build, factory
from kdgap.spec.model import ModelSpec


def test_a_factory_that_exits_is_refused() -> None:
    name = "tests.models.user_networks:exits"
    with pytest.raises(BadInputError, match=r"cannot be built: it ends the program, with exit\(0"):
        build(name, ModelSpec(name=name), 10, 3)


def test_a_module_that_exits_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a_script_that_exits.py").write_text("import sys\nsys.exit()\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    with pytest.raises(BadInputError, match=r"cannot be imported: it ends the program"):
        factory("a_script_that_exits:small")


@pytest.mark.parametrize(
    ("factory", "words"),
    [
        ("half", r"its parameter 'stem\.weight' is float16, expected float32; .*\.float\(\)"),
        ("fails", r"fails on an image of 3x32x32: KeyError: 'gone'; mend its code"),
    ],
)
def test_what_is_wrong_with_the_network_is_said_and_not_put_on_the_images(
    factory: str, words: str
) -> None:
    with pytest.raises(BadInputError, match=words):
        check_model(ModelSpec(name=f"tests.models.user_networks:{factory}"), (32, 32))
    with pytest.raises(BadInputError, match=words):
        described(ModelSpec(name=f"tests.models.user_networks:{factory}"), 10, 3, (32, 32))


def test_what_it_prints_is_no_answer_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a_module_that_prints.py").write_text(
        "from tests.models.user_networks import Tiny\n"
        "print('imported')\n"
        "class Loud(Tiny):\n"
        "    def __init__(self, num_classes):\n"
        "        super().__init__(num_classes)\n"
        "        print('built')\n"
        "    def forward(self, x):\n"
        "        print('asked')\n"
        "        return super().forward(x)\n"
    )
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    described(ModelSpec(name="a_module_that_prints:Loud"), 10, 3, (32, 32))
    out, err = capsys.readouterr()
    assert out == ""
    assert {"imported", "built", "asked"} <= set(err.split())


def test_a_source_that_is_misspelt_gets_the_nearest_name() -> None:
    with pytest.raises(BadInputError, match=r"no module 'timmm' \(did you mean 'timm'\?\)"):
        factory("timmm:vit_tiny_patch16_224")
