"""What one room offers another has types: no mapping whose values may be anything crosses over.

A document is one still, as it is read, as it is made, or where its keys are somebody else's: these
few are listed. Everything else is a class. A `Mapping[str, object]` may cross, since nobody can use
its values unchecked: it is a document that is written, compared or passed on.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests.test_architecture import modules, room

OPEN = ("dict[str, Any]", "Mapping[str, Any]")
DOCUMENTS = {
    # Our own files as they are read: `store/schema/` has checked them.
    "kdgap.store.study": {"StudyDirectory.plan", "StudyDirectory.selection"},
    "kdgap.store.state": {"Snapshot.facts"},
    "kdgap.store.seal": {"read_sealed"},
    "kdgap.store.imports.directory": {"ImportedDirectory.read"},
    "kdgap.store.pace": {"work_of"},
    "kdgap.store.progress": {"Survey.plan", "live"},
    # What takes such a file as it is read, and says what is wrong with it or makes a class of it.
    "kdgap.store.audit": {"audit", "plan_faults", "selection_faults"},
    "kdgap.store.witness": {"recorded_facts"},
    "kdgap.store.notices": {"of_plan", "recorded"},
    "kdgap.store.stored_tensor": {"StoredTensor.of"},
    "kdgap.store.imports.findings": {"read_findings"},
    "kdgap.spec.slot": {"Slot.read"},
    "kdgap.spec.method_card": {"MethodCard.read", "read_cards"},
    "kdgap.judge.imported_evidence": {"evidence_of"},
    "kdgap.judge.recorded": {"Scores.document"},
    "kdgap.running.results": {"Prepared.refuse_other_view"},
    "kdgap.planning.notices": {"post_hoc"},
    # What a plan says of its networks: architecture, size, cost, citation.
    "kdgap.judge.evidence": {"Evidence.models"},
    "kdgap.judge.analysis": {"Analysis.models"},
    # Other people's files, whose keys are theirs.
    "kdgap.store.imports.foreign": {"hyperparameters", "settings_of"},
    "kdgap.store.imports.gate": {"read_finite"},
    "kdgap.report.collect": {"best_configurations"},
    # Documents in the making.
    "kdgap.study.workspace": {"Workspace.preregistration", "plan_data"},
    "kdgap.study.selection": {"Selected.report"},
    # What a runner is doing: phase, runs, epochs; `store/progress.py` reads it through its gate.
    "kdgap.study.live": {"Live.progress", "Live.write"},
    "kdgap.cluster.ray_engine": {"RayEngine.going_on"},
    "kdgap.study.forecast": {"forecast"},
    "kdgap.store.imports.imported": {"import_runs"},
    "kdgap.store.imports.own_names": {"called", "check_names"},
    "kdgap.store.provenance": {"provenance"},
    "kdgap.benchmark.table": {"run_cases"},
    "kdgap.engine.evaluate": {"scores"},
    "kdgap.running.training": {"Attempt.end", "train_attempts"},
    "kdgap.notice": {"read", "written"},
    "kdgap.spec.identity": {"identity"},
    "kdgap.spec.study": {"protocol"},
    # Fields and their types, for pydantic and from it.
    "kdgap.methods.hyperparameters": {"field_types", "hyperparameter_types"},
    "kdgap.methods.page": {"hyperparameters", "values"},
    "kdgap.spec.flat": {
        *("FlatConfig.hyperparameters", "FlatConfig.network"),
        *("FlatConfig.model_arguments", "FlatConfig.model_input", "FlatConfig.model_modules"),
    },
    "kdgap.spec.model": {"Architecture.architecture"},
    "kdgap.spec.validation": {"build"},
    # Fields of a class, spread into what makes it.
    "kdgap.judge.context": {"Context.numbers"},
}


def offered() -> set[tuple[str, str]]:
    """Return (module, name) of everything that a module of another room imports."""
    known = modules()
    imports = set()
    for name, path in known.items():
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            if not isinstance(node, ast.ImportFrom) or node.module not in known:
                continue
            if room(node.module) != room(name):
                imports |= {(node.module, alias.name) for alias in node.names}
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                if whole in known and room(whole) != room(name):
                    called = alias.asname or alias.name
                    imports |= {(whole, attribute) for attribute in attributes(tree, called)}
    return imports


def attributes(tree: ast.Module, called: str) -> Iterator[str]:
    """Yield what is taken of a module that a tree imports as a whole."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute) or not isinstance(node.value, ast.Name):
            continue
        if node.value.id == called:
            yield node.attr


def open_parts(path: Path, name: str) -> Iterator[str]:
    """Yield which public signatures and fields of what a module calls so are open mappings."""
    body = ast.parse(path.read_text()).body
    # Another name for an open mapping is no type.
    words = (*OPEN, *(alias for alias, value in _aliases(body) if _mentions(value, OPEN)))
    if name in words:
        yield name
    for node in body:
        if isinstance(node, ast.FunctionDef) and node.name == name and _is_open(node, words):
            yield name
        if isinstance(node, ast.ClassDef) and node.name == name:
            for part in node.body:
                if isinstance(part, ast.AnnAssign) and _mentions(part.annotation, words):
                    yield f"{name}.{ast.unparse(part.target)}"
                if not isinstance(part, ast.FunctionDef) or part.name[0] == "_":
                    continue
                if _is_open(part, words):
                    yield f"{name}.{part.name}"


def _aliases(body: list[ast.stmt]) -> Iterator[tuple[str, ast.expr]]:
    for node in body:
        if isinstance(node, ast.Assign):
            yield from ((ast.unparse(target), node.value) for target in node.targets)
        elif isinstance(node, ast.AnnAssign) and node.value is not None:
            yield ast.unparse(node.target), node.value


def _mentions(annotation: ast.expr, words: tuple[str, ...]) -> bool:
    text = ast.unparse(annotation)
    return any(re.search(rf"(?<![\w.]){re.escape(word)}(?!\w)", text) for word in words)


def _is_open(function: ast.FunctionDef, words: tuple[str, ...]) -> bool:
    taken = [node.annotation for node in ast.walk(function.args) if isinstance(node, ast.arg)]
    annotations = [*taken, function.returns]
    return any(_mentions(part, words) for part in annotations if part is not None)


def test_no_open_mapping_crosses_a_room_but_documents() -> None:
    known = modules()
    open_by_module: dict[str, set[str]] = {}
    for module, name in sorted(offered()):
        if parts := set(open_parts(known[module], name)):
            open_by_module.setdefault(module, set()).update(parts)
    assert open_by_module == DOCUMENTS


def test_what_is_open_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "odd.py"
    path.write_text(
        "Document = Mapping[str, Any]\n"
        "Numbers = Mapping[str, float]\n"
        "def takes(given: dict[str, Any]) -> None: ...\n"
        "def returns() -> list[dict[str, Any]]: ...\n"
        "def reads(given: Mapping[str, Mapping[str, Any]]) -> None: ...\n"
        "def renames(given: Document | None) -> None: ...\n"
        "def counts(given: Numbers, other: MyDocument) -> None:\n    own: dict[str, Any] = {}\n"
        "def passes(given: Mapping[str, object]) -> None: ...\n"
        "class Holder:\n    kept: dict[str, Any]\n    read: Mapping[str, Any] = field()\n"
        "    def gives(self) -> dict[str, Any]: ...\n    def _own(self) -> dict[str, Any]: ...\n"
    )
    names = ("Document", "Numbers", "takes", "returns", "reads", "renames", "counts", "passes")
    parts = [part for name in (*names, "Holder") for part in open_parts(path, name)]
    functions = ["takes", "returns", "reads", "renames"]
    assert parts == ["Document", *functions, "Holder.kept", "Holder.read", "Holder.gives"]
