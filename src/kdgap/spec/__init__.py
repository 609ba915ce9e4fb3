"""What a user asks for: typed, validated, and with an identity.

`run.RunSpec` states one run completely; `identity.run_id` is the digest of everything in it that
can change the result. `study.StudySpec` is a whole study, `claims.ClaimsFile` claims about other
people's runs, and `flat.FlatConfig` the flat YAML file of the reference study's commands. Nothing
here knows of torch, so both wings of the house can read a specification; kdgap itself imports each
module by its own name, so that a command loads what it needs and no more.
"""

from importlib import import_module

# Scripts take these from the package; each is loaded when it is asked for.
_OFFERED = {
    **dict.fromkeys(("FlatConfig", "read_flat"), "flat"),
    **dict.fromkeys(("canonical_json", "run_id", "slot_name"), "identity"),
    **dict.fromkeys(("DataSpec", "MethodSpec", "ModelSpec", "Placement", "RecipeSpec"), "run"),
    **dict.fromkeys(("NUMERICS_VERSION", "RunSpec", "TeacherSpec", "numerics_of"), "run"),
    **dict.fromkeys(("ClaimsFile",), "claims"),
    **dict.fromkeys(("read_claims",), "claims_file"),
    **dict.fromkeys(("StudySpec",), "study"),
    **dict.fromkeys(("read_study",), "study_file"),
}


def __getattr__(name: str) -> object:
    if name in _OFFERED:
        return getattr(import_module(f"{__name__}.{_OFFERED[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
