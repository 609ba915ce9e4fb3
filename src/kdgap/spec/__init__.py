"""What a user asks for: typed, validated, and with an identity.

`RunSpec` states one run completely; `run_id` is the digest of everything in it that can change
the result. `FlatConfig` is the flat YAML file of the reference study's commands. Nothing here knows
of torch, so both wings of the house can read a specification.
"""

from kdgap.spec.flat import FlatConfig, read_flat
from kdgap.spec.identity import canonical_json, cell_id, identity, run_id, slot_name
from kdgap.spec.run import (
    NUMERICS_VERSION,
    DataSpec,
    MethodSpec,
    ModelSpec,
    Placement,
    RecipeSpec,
    RunSpec,
    TeacherSpec,
    numerics_of,
)
from kdgap.spec.study import ClaimsFile, StudySpec
from kdgap.spec.study_file import read_claims, read_study

__all__ = [
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
    "cell_id",
    "identity",
    "numerics_of",
    "read_claims",
    "read_flat",
    "read_study",
    "run_id",
    "slot_name",
]
