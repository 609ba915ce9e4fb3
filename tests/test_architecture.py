"""The house stands: imports point down, in no circle, and the judging wing never needs torch."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import kdgap

PACKAGE = Path(kdgap.__file__).parent
# Room → floor (docs/architecture.md). A module imports from lower floors and from its own room. An
# inner package that is not listed belongs to the room that it lies in.
FLOORS = {
    "": 0,
    "advice": 1,
    "errors": 1,
    "error_line": 1,
    "child": 1,
    "columns": 1,
    "disk": 1,
    "bulk": 1,
    "deferred": 1,
    "paths": 1,
    "placeholder": 1,
    "registry": 1,
    "stats": 1,
    "addressing": 1,
    "files": 1,
    "glossary": 1,
    "leftovers": 1,
    "notice": 1,
    "staging": 1,
    "terminal": 1,
    "text": 1,
    "numbers": 1,
    "yamlio": 1,
    "spec": 2,
    "data": 3,
    "models": 3,
    "methods": 4,
    "store": 5,
    "store.imports": 6,
    "judge": 7,
    "engine": 7,
    "report.tables": 8,
    "report": 9,
    "report.figures": 9,
    "planning": 7,
    "running": 8,
    "benchmark": 9,
    "study": 9,
    "shipping": 9,
    "cluster": 10,
    "report.page": 10,
    "explorer": 10,
    "library": 11,
    "cli": 11,
    "__main__": 12,
}
# What the other rooms of the first floor stand on.
GROUND = {"advice", "child", "disk", "errors", "files", "leftovers", "placeholder", "terminal"}
GROUND |= {"error_line", "text", ""}
TRAINING, JUDGING = (
    {"data", "models", "methods", "engine", "planning", "running", "study", "benchmark", "cluster"},
    {"stats", "judge", "report", "report.tables", "report.figures", "report.page", "explorer"},
)
# Modules that must start without torch: the spine, and everything a listing or a judgement needs.
TORCH_FREE = (
    "kdgap.cli.app",
    "kdgap.cli.figures",
    "kdgap.columns",
    "kdgap.data",
    "kdgap.explorer.server",
    "kdgap.judge.document",
    "kdgap.judge.judging",
    "kdgap.judge.load",
    "kdgap.methods",
    "kdgap.models",
    "kdgap.report.collect",
    "kdgap.report.figures.files",
    "kdgap.report.page.document",
    "kdgap.report.tables.files",
    "kdgap.report.tables.frames",
    "kdgap.shipping.facts",
    "kdgap.shipping.formats",
    "kdgap.spec",
    "kdgap.store.card",
    "kdgap.stats.contrast",
    "kdgap.stats.power",
    "kdgap.store.progress",
    "kdgap.store.provenance",
    "kdgap.store.record",
    "kdgap.store.study",
    "kdgap.store.unpickle",
    "kdgap.planning.early",
    "kdgap.study.supervise",
    "kdgap.yamlio",
)


def modules() -> dict[str, Path]:
    paths = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        paths[".".join(["kdgap", *(p for p in parts if p != "__init__")])] = path
    return paths


def imports(name: str, path: Path, known: set[str]) -> set[str]:
    """Every module of ours that `name` imports, also inside its functions."""
    targets: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            targets |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}: a relative import"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                targets.add(full if full in known else str(node.module))
    return {target for target in targets if target.split(".")[0] == "kdgap"} - {name}


def room(module: str) -> str:
    name = module.removeprefix("kdgap").removeprefix(".")
    while name not in FLOORS:
        assert "." in name, f"{module} is in no room"
        name = name.rpartition(".")[0]
    return name


def test_every_room_has_a_floor() -> None:
    assert {room(module) for module in modules()} == set(FLOORS)


def test_the_page_says_where_every_room_is() -> None:
    page = (PACKAGE.parents[1] / "docs" / "architecture.md").read_text()
    rows = re.findall(r"^\| (\d+) \| ([^|]+) \|", page, re.MULTILINE)
    documented = {
        name.rstrip("/").replace("/", "."): int(floor)
        for floor, rooms in rows
        for name in re.findall(r"`([^`]+)`", rooms)
    }
    assert documented == {
        name: floor for name, floor in FLOORS.items() if name not in ("", "__main__")
    }
    assert [int(floor) for floor, _ in rows] == sorted((int(f) for f, _ in rows), reverse=True)
    packages = {
        path.parent.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("__init__.py")
    }
    inner = {name for name in packages if "/" in name and name.replace("/", ".") not in FLOORS}
    text = page[page.index("other inner packages (") :].partition(")")[0]
    assert set(re.findall(r"`([^`]+)/`", text)) == inner


def test_imports_point_down() -> None:
    known = modules()
    upward = [
        f"{name} -> {target}"
        for name, path in known.items()
        for target in imports(name, path, set(known))
        if room(name) != room(target)
        and FLOORS[room(target)] >= FLOORS[room(name)]
        and room(target) not in GROUND
    ]
    assert upward == []


def test_the_wings_never_import_each_other() -> None:
    known = modules()
    crossing = [
        f"{name} -> {target}"
        for name, path in known.items()
        for target in imports(name, path, set(known))
        if {room(name), room(target)} & TRAINING and {room(name), room(target)} & JUDGING
    ]
    # The one exception: a plan asks for the floors that its seeds allow.
    assert crossing == ["kdgap.study.forecast -> kdgap.stats.power"]


def test_no_module_imports_itself_by_a_detour() -> None:
    known = modules()
    graph = {name: imports(name, path, set(known)) for name, path in known.items()}
    # A package's __init__ gathers its modules; the modules import each other, never the package.
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, f"circle: {' -> '.join([*trail, name])}"
        if name not in done:
            for target in sorted(graph[name]):
                visit(target, (*trail, name))
            done.add(name)

    for name in graph:
        visit(name, ())


def test_test_images_are_read_where_the_architecture_says() -> None:
    # `len(parts.test)` counts them and looks at none.
    readers = {
        name
        for name, path in modules().items()
        if re.search(r"(?<!len\()\b(?:\w+\.)*parts\.test\b", path.read_text())
    }
    readers_named = ("door", "evaluation", "thumbnails")
    assert readers == {f"kdgap.running.{name}" for name in readers_named}
    page = (Path(__file__).parents[1] / "docs" / "architecture.md").read_text()
    assert "`door` (the only reader of test images for a record)" in page
    assert "`evaluation` (also a weights file on test images" in page
    assert "`thumbnails` (a few test images of a tested run as one picture)" in page


def test_listings_and_judgements_start_without_torch() -> None:
    code = f"import sys; import {', '.join(TORCH_FREE)}; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_help_loads_nothing_that_takes_a_while() -> None:
    code = (
        "import sys, atexit\n"
        "sys.argv = ['kdgap', '--help']\n"
        "atexit.register(lambda: print(*sys.modules))\n"
        "from kdgap.cli import main\n"
        "main()"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    loaded = set(done.stdout.splitlines()[-1].split())
    assert "kdgap.cli.app" in loaded
    assert loaded.isdisjoint({"yaml", "pydantic", "numpy", "scipy", "torch", "kdgap.spec"})


def test_what_judges_an_import_loads_nothing_that_plans_or_trains() -> None:
    code = (
        "import sys, kdgap.judge.load, kdgap.judge.imported_evidence, kdgap.report.tables.files\n"
        "import kdgap.judge.judging, kdgap.store.imports.directory\n"
        "print(*(name for name in sys.modules if name.startswith('kdgap.')))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    loaded = done.stdout.split()
    assert "kdgap.judge.judging" in loaded
    unused = ("kdgap.spec.run", "kdgap.spec.study", "kdgap.planning", "kdgap.store.study")
    assert [name for name in loaded if name.startswith(unused)] == []


def test_files_stay_under_a_readable_length() -> None:
    long = {
        name: lines
        for name, path in modules().items()
        if (lines := len(path.read_text().splitlines())) > 350
    }
    assert long == {}


# Who else touches files, and why: everybody else goes through `kdgap.files` (`kdgap.disk`).
BESIDE_THE_DISK_LAYER: dict[str, str] = {
    "kdgap.disk": "the disk layer itself",
    "kdgap.files": "builds on the disk layer",
    "kdgap.terminal": "opens, through the disk layer, what stands for a closed standard stream",
    "kdgap.benchmark.arm_process": "reads the system's own account of a process",
    "kdgap.benchmark.engine_arm": "scratch of a measurement",
    "kdgap.data.sets.cifar": "torchvision downloads into a folder of its own, which is moved",
    "kdgap.store.provenance": "hashes the package's own sources",
}
_CALLS = {
    *("mkdir", "rmdir", "unlink", "rename", "touch", "iterdir", "glob", "rglob", "walk"),
    *("read_text", "read_bytes", "write_text", "write_bytes", "symlink_to", "hardlink_to", "chmod"),
    *("rmtree", "copytree", "copyfile", "copy2", "move", "fromfile", "tofile", "load_file"),
    *("save_file", "listdir", "scandir", "makedirs", "remove_dir", "removedirs"),
}


def _reaches_for_files(path: Path) -> list[str]:
    """Calls of a module that open, list or change files by themselves."""
    lines = []
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else ""
        text = ast.unparse(node.func)
        # What has an `open` of its own, such as an archive, is given bytes or a stream.
        opens = text in ("open", "os.open", "io.open") or text.endswith(("path.open", ").open"))
        if name in _CALLS or opens:
            lines.append(f"{path.name}:{node.lineno}: {text}")
    return lines


def test_files_are_touched_in_one_place_alone() -> None:
    beside = [
        call
        for name, path in modules().items()
        if name not in BESIDE_THE_DISK_LAYER
        for call in _reaches_for_files(path)
    ]
    assert beside == []


def test_all_that_is_printed_goes_one_way() -> None:
    """No module prints by itself: `kdgap.cli.printing` and `kdgap.terminal` neutralise all text."""
    writers = {"kdgap.terminal", "kdgap.cli.printing"}
    forbidden = re.compile(
        r"(?<![\w.])print\(|\.print\(|\becho\(|\bsecho\(|\bConsole\(|sys\.(__)?std(out|err)"
        r"|from sys import|\bos\.write\(\s*[12]\b|warnings\.warn\(|traceback\.print"
    )
    known = {
        "kdgap.cli": ["os.write(2"],  # before anything else could be imported
        "kdgap.columns": ["sys.stdout"] * 2,  # columns as Arrow writes them, for the same
        "kdgap.store.unpickle": ["print("],  # JSON in ASCII, for the process that started it
    }
    offenders = {}
    for name, path in modules().items():
        code = ast.unparse(ast.parse(path.read_text()))  # without comments
        hits = [hit[0] for hit in forbidden.finditer(code)]
        if name not in writers and hits != known.get(name, []):
            offenders[name] = hits
    assert offenders == {}


EMPTY_NAMES = {"one", "found", "told", "said", "made"}


def names_given(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield the line and name of every variable, argument and function."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, ast.FunctionDef):
            yield node.lineno, node.name


def test_names_say_what_they_hold() -> None:
    root = Path(__file__).parent.parent
    folders = ("src", "tests", "tools", "benchmarks")
    empty = [
        f"{path.relative_to(root)}:{line}: {name}"
        for folder in folders
        for path in (root / folder).rglob("*.py")
        for line, name in names_given(ast.parse(path.read_text()))
        if name.strip("_") in EMPTY_NAMES
    ]
    assert empty == []
