"""What one room offers another has types: no dictionary that anybody may write into crosses over.

A document that somebody else wrote, and a function that makes one, are dictionaries still: these
few are listed. Everything else is a class, or a mapping that is read.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.test_architecture import modules, room

OPEN = "dict[str, Any]"
DOCUMENTS = {
    # Files as they are read: `store/schema/` has checked them.
    "kdgap.store.study": {"StudyDirectory.plan", "StudyDirectory.selection"},
    "kdgap.store.imports.directory": {"ImportedDirectory.read"},
    "kdgap.store.seal": {"read_sealed"},
    "kdgap.store.state": {"Snapshot.facts"},
    # Documents in the making.
    "kdgap.study.workspace": {"Workspace.preregistration", "plan_data"},
    "kdgap.study.forecast": {"forecast"},
    "kdgap.store.imports.imported": {"import_runs"},
    "kdgap.store.provenance": {"provenance"},
    "kdgap.benchmark.table": {"run_cases"},
    "kdgap.notice": {"written"},
    "kdgap.spec.identity": {"identity"},
    # Fields and their types, for pydantic.
    "kdgap.methods.method": {"field_types", "hyperparameter_types"},
    "kdgap.spec.flat": {"FlatConfig.hyperparameters"},
}


def offered() -> set[tuple[str, str]]:
    """Return (module, name) of everything that a module of another room imports."""
    known = modules()
    imports = set()
    for name, path in known.items():
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.ImportFrom) or node.module not in known:
                continue
            if room(node.module) != room(name):
                imports |= {(node.module, alias.name) for alias in node.names}
    return imports


def open_parts(path: Path, name: str) -> Iterator[str]:
    """Yield which public signatures and fields of a class or function are open dictionaries."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef) and node.name == name and _is_open(node):
            yield name
        if isinstance(node, ast.ClassDef) and node.name == name:
            for part in node.body:
                if isinstance(part, ast.FunctionDef) and part.name[0] != "_" and _is_open(part):
                    yield f"{name}.{part.name}"
                if isinstance(part, ast.AnnAssign) and OPEN in ast.unparse(part.annotation):
                    yield f"{name}.{ast.unparse(part.target)}"


def _is_open(function: ast.FunctionDef) -> bool:
    annotations = [
        argument.annotation for argument in ast.walk(function.args) if isinstance(argument, ast.arg)
    ]
    return any(
        OPEN in ast.unparse(annotation)
        for annotation in [*annotations, function.returns]
        if annotation is not None
    )


def test_no_open_dictionary_crosses_a_room_but_documents() -> None:
    known = modules()
    open_by_module: dict[str, set[str]] = {}
    for module, name in sorted(offered()):
        if parts := set(open_parts(known[module], name)):
            open_by_module.setdefault(module, set()).update(parts)
    assert open_by_module == DOCUMENTS


def test_what_is_open_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "odd.py"
    path.write_text(
        "def one(given: dict[str, Any]) -> None: ...\n"
        "def two() -> list[dict[str, Any]]: ...\n"
        "def three(given: Mapping[str, Any]) -> None:\n    own: dict[str, Any] = {}\n"
        "class Four:\n    kept: dict[str, Any]\n"
        "    def five(self) -> dict[str, Any]: ...\n    def _six(self) -> dict[str, Any]: ...\n"
    )
    names = ("one", "two", "three", "Four")
    parts = [part for name in names for part in open_parts(path, name)]
    assert parts == ["one", "two", "Four.kept", "Four.five"]
