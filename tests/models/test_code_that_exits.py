"""Code of the user's own that ends the program is refused, and does not end it quietly."""

import sys
from pathlib import Path

import pytest

from kdgap.errors import BadInputError
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
