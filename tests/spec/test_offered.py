"""Names that scripts take from `kdgap.spec` itself stay there, and load nothing before."""

import subprocess
import sys
from importlib import import_module

import pytest

import kdgap.spec

NAMES = [
    "NUMERICS_VERSION",
    "ClaimsFile",
    "DataSpec",
    "FlatConfig",
    "MethodSpec",
    "ModelSpec",
    "Placement",
    "RecipeSpec",
    "RunSpec",
    "StudySpec",
    "TeacherSpec",
    "canonical_json",
    "numerics_of",
    "read_claims",
    "read_flat",
    "read_study",
    "run_id",
    "slot_name",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_that_of_its_module(name: str) -> None:
    module = import_module(f"kdgap.spec.{kdgap.spec._OFFERED[name]}")
    assert getattr(kdgap.spec, name) is getattr(module, name)


def test_what_is_not_offered_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = kdgap.spec.Nothing


def test_the_package_alone_loads_nothing() -> None:
    code = "import sys, kdgap.spec; print('pydantic' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "False\n"
