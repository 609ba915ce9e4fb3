"""Names of studies that files disagree about: taken back, for nobody can tell what is meant.

A folder may hold exports of several studies, which gave one name to different things.
"""

from collections.abc import Iterable, Sequence

from kdgap.errors import one_line
from kdgap.notice import FileNotice
from kdgap.store.imports.findings import finding
from kdgap.store.imports.foreign import ForeignFile
from kdgap.store.imports.own_names import called
from kdgap.store.imports.roles import ImportedRun
from kdgap.store.reference import METHOD


def settle_methods(files: Sequence[ForeignFile], findings: list[FileNotice]) -> None:
    """Take back every name that stands for several methods, as in exports of several studies."""
    meant: dict[str, dict[str, str]] = {}
    for file in files:
        method = file.results["kd_type"]
        meant.setdefault(method, {}).setdefault(method, file.path)
        meant.setdefault(called(file.results), {}).setdefault(method, file.path)
    several = {name: methods for name, methods in meant.items() if len(methods) > 1}
    for name, methods in several.items():
        listed = ", ".join(one_line(method, 40) for method in sorted(methods))
        text = f"{one_line(name, 60)} names several methods ({listed}), which go by their own names"
        findings.append(finding("contradiction", text, methods.values()))
    for file in files:
        if called(file.results) in several:
            file.results.pop(METHOD, None)


def settle_ablations(runs: Iterable[ImportedRun], findings: list[FileNotice]) -> None:
    """Take back the ablations that are not what one study has: one configuration before and after.

    Args:
        runs: all of them, placed.
        findings: gets the ablations that are taken back.
    """
    arms: dict[str, dict[tuple[str, str], str]] = {}
    compared: dict[str, set[tuple[str | None, str]]] = {}
    for run in runs:
        for slot in (slot for slot in run.slots if slot.ablation):
            known = arms.setdefault(slot.ablation, {})
            known.setdefault((slot.arm, f"{run.configuration} {slot.student}"), run.paths[0])
            compared.setdefault(slot.ablation, set()).add((slot.teacher, slot.method))
    several = {
        name: list(sides.values())
        for name, sides in arms.items()
        if len(sides) > len({arm for arm, _ in sides}) or len(compared[name]) > 1
    }
    for name, paths in several.items():
        text = f"{name} has several configurations before or after: it is taken for no ablation"
        findings.append(finding("ablation", text, paths))
    for run in runs:
        run.slots = [slot for slot in run.slots if slot.ablation not in several]
