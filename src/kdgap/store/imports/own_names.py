"""The names that a study gave its arms, as files of its export carry them, and their gate.

| key | what it says |
|---|---|
| `study_method` | what the study calls what `kd_type` is |
| `study_ablation`, `study_arm` | the ablation that a run is of; `base` or `changed` |

A file without them goes by its `kd_type`, as files of others and of earlier exports do. A name is
what a study file may hold; a file that has another is no result.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError

from kdgap.errors import one_line
from kdgap.methods import METHODS
from kdgap.spec.claims import Arm, Name
from kdgap.spec.method_name import method_name
from kdgap.spec.slot import PLAIN
from kdgap.spec.validation import Text
from kdgap.store.imports.gate import OddFileError
from kdgap.store.reference import ABLATION, ARM, METHOD

_KINDS: Mapping[str, tuple[TypeAdapter[Any], str]] = {
    METHOD: (TypeAdapter(Text), "name of up to 1,000 printable characters"),
    ABLATION: (TypeAdapter(Name), "name of up to 60 letters, digits, dots, hyphens, underscores"),
    ARM: (TypeAdapter(Arm), "base or changed"),
}


def check_names(results: Mapping[str, Any]) -> None:
    """Check the names that a result file carries.

    Raises:
        OddFileError: one is no name, or it is the name of another method than the file's.
    """
    for key, (adapter, kind) in _KINDS.items():
        value = results.get(key)
        if value is not None:
            try:
                adapter.validate_python(value)
            except ValidationError:
                raise OddFileError(f"{key} is {one_line(repr(value), 40)}, no {kind}") from None
    if (results.get(ABLATION) is None) != (results.get(ARM) is None):
        raise OddFileError(f"{ABLATION} and {ARM} go together")
    name, registered = results.get(METHOD), method_name(results["kd_type"])
    if name is None or method_name(name) == registered:
        return
    if PLAIN in (name, registered) or name in METHODS:
        kind = one_line(results["kd_type"], 40)
        raise OddFileError(f"{METHOD} is {one_line(name, 40)}, but kd_type is {kind}")


def called(results: Mapping[str, Any]) -> str:
    """Return what a result file's method is called: by its study, or else by its `kd_type`."""
    return str(results.get(METHOD) or results["kd_type"])
