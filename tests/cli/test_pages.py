"""The pages are walked: each of their commands, in order, on a small study and small files."""

import contextlib
import io
import os
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest
import typer

import kdgap
from kdgap.cli.app import app
from kdgap.cli.figures import figures_app
from tests.blocks import PAGES, Block, blocks
from tests.conftest import ROOT
from tests.report.result_files import write_finals

Command = Callable[..., "CompletedProcess[str]"]
README = ROOT / "README.md"
STUDY = re.compile(r"kdgap run ([\w./-]+)")
FIRST = Path("configs/studies/digits.yaml")
"""The study of docs/first-study.md."""
LESS = ["--set", "data.limit=64", "--set", "recipe.epochs=1", "--set", "finals.seeds=[0,1]"]
LESS_OF_FIRST = [*LESS, "--set", "methods.logit.temperature=4"]
LESS_OF_A_RUN = ["--set", "limit=64", "--set", "epochs=1"]
"""What makes a command small, and nothing else."""
CLAIMS = """\
claims:
  - name: helps
    text: Feature-KD helps ResNet-18
    terms:
      - {weight: 1, teacher: resnet50, student: resnet18, method: feature}
"""
"""In place of the claims of the published study, whose arms the small import does not have."""
ELSEWHERE = {"own-data.md": "tests/cli/test_own_data.py", "library.md": "tests/e2e/test_library.py"}
"""Pages that a test of their own walks."""
LONG = {"explorer.md", "judging.md", "reproduce.md"}
"""Pages with many figures, or with plans of large networks: `make test-slow` walks them."""


def runnable(page: Path) -> list[Block]:
    return [
        block
        for block in blocks(page)
        if block.reason is None and block.language in ("sh", "console", "python")
    ]


WALKED = [page for page in PAGES if runnable(page) and page.name not in ELSEWHERE]
WALKS = [
    pytest.param(page, id=page.name, marks=[pytest.mark.slow] if page.name in LONG else [])
    for page in WALKED
]


def the_study() -> Path:
    """The file of the study that README.md trains, as it says itself."""
    match = STUDY.search(README.read_text(encoding="utf-8"))
    assert match
    return Path(match[1])


@pytest.fixture(scope="session")
def _trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The study of README.md, made small and trained once; only to be copied."""
    from kdgap.spec.study_file import read_study
    from kdgap.study.worker import Worker
    from kdgap.study.workspace import open_study, start_study
    from kdgap.yamlio import load, parse_assignments

    folder = tmp_path_factory.mktemp("pages")
    changes = parse_assignments(LESS[1::2], nested=True)
    name = read_study(load(ROOT / the_study()), changes)[0].name
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KDGAP_CACHE", str(folder / "cache"))
        workspace = open_study(ROOT / the_study(), changes, folder / "runs" / name)
        start_study(workspace, lambda _: None)
        Worker(workspace, "cpu").work()
    return folder / "runs" / name


@pytest.fixture
def folder(_trained: Path, workdir: Path) -> Path:
    """A folder like the repository's, with the trained study and somebody's result files."""
    for name in ("configs", "tools", "notebooks"):
        (workdir / name).symlink_to(ROOT / name)
    shutil.copytree(_trained, workdir / "runs" / _trained.name)
    write_finals(workdir / "runs")
    write_finals(workdir / "others")
    with zipfile.ZipFile(workdir / "their-runs.zip", "w") as archive:
        for path in sorted((workdir / "others").rglob("*.json")):
            archive.write(path, path.relative_to(workdir / "others"))
    (workdir / "claims.yaml").write_text(CLAIMS)
    kdgap.import_results(workdir / "others", workdir / "theirs")
    return workdir


@pytest.fixture
def execute(
    _run: Callable[[typer.Typer, str, tuple[object, ...]], "CompletedProcess[str]"],
) -> Command:
    """Run a command line of a page."""

    def run(line: str) -> "CompletedProcess[str]":
        program, *words = shlex.split(line.replace("configs/claims/reference.yaml", "claims.yaml"))
        if program == "kdgap" and words[0] == "explore" and "--export" not in words:
            return _served(words)
        if program == "kdgap":
            return _run(app, program, tuple(words + _less(words)))
        assert [program, words[0]] == ["python", "tools/make_figures.py"], f"who runs `{line}`?"
        return _run(figures_app, "make_figures.py", tuple(words[1:]))

    return run


def _less(words: list[str]) -> list[str]:
    """Return what makes a command small, but for keys that it sets itself."""
    given = {word.partition("=")[0] for word in words}
    if words[0] in ("plan", "run") and Path(words[1]) in (the_study(), FIRST):
        less = LESS_OF_FIRST if Path(words[1]) == FIRST else LESS
    else:
        less = LESS_OF_A_RUN if words[0] == "train" else []
    kept = [setting for setting in less[1::2] if setting.partition("=")[0] not in given]
    return [word for setting in kept for word in ("--set", setting)]


def _served(words: list[str]) -> "CompletedProcess[str]":
    """Serve until the address is printed, which is when the page can be opened; then end it."""
    command = [sys.executable, "-m", "kdgap", *words, "--port", "0"]
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as server:
        assert server.stderr is not None
        first = server.stderr.readline()
        server.terminate()
        rest = server.stderr.read()
    assert "http://127.0.0.1:" in first, first + rest
    return CompletedProcess(command, 0 if server.returncode == 143 else 1, "", first + rest)


@pytest.mark.usefixtures("one_process", "folder", "sketched")
@pytest.mark.parametrize("page", WALKS)
def test_every_command_of_a_page_works(page: Path, execute: Command) -> None:
    for block in runnable(page):
        if block.language == "python":
            _interpret(block)
            continue
        for line in block.commands:
            done = execute(line)
            assert done.returncode == 0, (str(block), line, done.stderr)
            assert done.stdout.strip() or done.stderr.strip(), (str(block), line)


def _interpret(block: Block) -> None:
    heard = io.StringIO()
    with contextlib.redirect_stdout(heard):
        exec(compile(block.text, str(block), "exec"), {})
    assert heard.getvalue().strip(), block


def skeleton(lines: list[str]) -> list[str]:
    """What of an answer is the same for any numbers: the table's head and its first column."""
    cells = [re.split(r"[┃│]", line)[1:-1] for line in lines if line[:1] in "┃│" and line]
    head = [" ".join(cell.split()) for cell in cells[0]]
    return head + [" ".join(row[0].split()) for row in cells[1:]]


@pytest.mark.usefixtures("folder")
def test_answers_on_pages_are_those_of_the_commands(
    execute: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kdgap.cli import printing

    monkeypatch.setattr(printing.out, "width", 80)
    shown = [block for page in WALKED for block in runnable(page) if block.language == "console"]
    assert shown
    for block in shown:
        [line] = block.commands
        answer = execute(line).stdout.splitlines()
        assert skeleton(block.answer) == skeleton(answer), block
        assert len(skeleton(answer)) > 6
        assert max(map(len, block.answer)) <= 80


def test_a_page_that_is_walked_elsewhere_is_there() -> None:
    names = {page.name for page in PAGES}
    assert {page.name for page in WALKED} >= LONG
    for page, test in ELSEWHERE.items():
        assert page in names
        assert page in (ROOT / test).read_text(encoding="utf-8")
