"""What the documents name exists: commands with their options, make targets, files, fields."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.main import get_command

from kdgap.cli.app import app
from kdgap.methods import METHODS, hyperparameter_names
from kdgap.methods.page import as_markdown, hyperparameters
from kdgap.spec.flat import FlatConfig
from tests.conftest import ROOT

PAGES = [
    *(ROOT / "README.md", ROOT / "CONTRIBUTING.md"),
    *(page for folder in ("benchmarks", "docs") for page in sorted((ROOT / folder).rglob("*.md"))),
]
COMMANDS = get_command(app).commands  # type: ignore[attr-defined]
_SHELL = re.compile(r"```(?:bash|sh|console)?\n(.*?)```", re.DOTALL)
_INLINE = re.compile(r"`([^`\n]+)`")


def spoken(page: Path) -> Iterator[str]:
    """Yield every command line of a page: of its blocks, and between backticks."""
    text = page.read_text()
    for block in _SHELL.findall(text):
        yield from block.replace("\\\n", " ").splitlines()
    yield from _INLINE.findall(_SHELL.sub("", text))


def kdgap_words(line: str) -> list[list[str]]:
    """Return the words of each `kdgap …` in a line, without comments."""
    line = line.split("  #")[0].split(" # ")[0]
    return [part.split() for part in re.findall(r"(?:^|[;&|] *|\$ *)kdgap ([^;&|]+)", line.strip())]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_and_their_options_exist(page: Path) -> None:
    for line in spoken(page):
        for words in kdgap_words(line):
            if words[0] in ("…", "COMMAND", "--help", "--version"):
                continue
            assert words[0] in COMMANDS, f"{page.name}: {line}"
            known = {name for parameter in COMMANDS[words[0]].params for name in parameter.opts} | {
                "--help"
            }
            known |= {
                name for parameter in COMMANDS[words[0]].params for name in parameter.secondary_opts
            }
            for word in words[1:]:
                if word.startswith("--"):
                    assert word.split("=")[0].rstrip(",.)") in known, f"{page.name}: {line}"


def test_what_is_looked_for_is_found() -> None:
    lines = [line for page in PAGES for line in spoken(page)]
    commands = {words[0] for line in lines for words in kdgap_words(line)}
    assert {"run", "analyze", "report", "import", "convert", "explore"} <= commands
    assert len([line for line in lines if _FILE.fullmatch(line)]) > 20


def test_every_command_is_on_the_page_of_commands() -> None:
    page = (ROOT / "docs" / "commands.md").read_text()
    table = "".join(line for line in page.splitlines() if line.startswith("| `kdgap "))
    shown = {name for name, command in COMMANDS.items() if not command.hidden}
    assert {name for name in shown if f"`kdgap {name}`" not in table} == set()


def test_every_key_of_a_run_is_on_its_page_or_the_page_of_methods() -> None:
    section = (ROOT / "docs" / "run-files.md").read_text().split("\n## Keys\n")[1].split("\n## ")[0]
    keys = set(FlatConfig.model_fields) - {"hyperparameters"}
    assert {key for key in keys if f"`{key}`" not in section} == set()
    page = (ROOT / "docs" / "methods.md").read_text()
    assert {key for key in hyperparameter_names() if f"`{key}`" not in page} == set()


def test_the_page_of_methods_is_made_of_their_classes() -> None:
    page = ROOT / "docs" / "methods.md"
    assert page.read_text() == as_markdown(), f"{page}: write it anew with `make docs`"


def test_every_modifier_is_on_the_page_of_methods() -> None:
    section = as_markdown().split("\n## Modifiers\n")[1].split("\n## ")[0]
    keys = (
        *("standardise", "kd_type: ctkd", "temperature_true", "temperature_others"),
        *("optimiser: dot", "dot_delta"),
    )
    assert {key for key in keys if f"`{key}`" not in section} == set()
    assert "Zhao et al. 2023, DOT: A Distillation-Oriented Trainer, ICCV" in section


@pytest.mark.parametrize("name", list(METHODS))
def test_no_two_hyperparameters_of_a_method_are_described_alike(name: str) -> None:
    words = [about.get("description") for about in hyperparameters(METHODS[name]).values()]
    assert all(words)
    assert len(set(words)) == len(words)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_make_targets_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {match[1] for line in spoken(page) if (match := re.match(r"make ([a-z-]+)", line))}
    assert named <= targets


_FILE = re.compile(r"(?:src|tests|docs|configs|tools|benchmarks|notebooks)/[\w./-]+")
_MODULE = re.compile(r"(?:[a-z_]+/)+[a-z_]+\.py")
"""A module of kdgap as the pages name it, such as `engine/cohort.py` or `kdgap/library.py`."""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_of_the_repository_exist(page: Path) -> None:
    for text in _INLINE.findall(page.read_text()):
        if _FILE.fullmatch(text):
            assert (ROOT / text).exists(), f"{page.name}: {text}"
        elif _MODULE.fullmatch(text):
            module = ROOT / "src" / "kdgap" / text.removeprefix("kdgap/")
            assert module.exists(), f"{page.name}: {text}"


def test_links_lead_to_files() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_documented_fields_are_fields_of_an_analysis() -> None:
    schema = json.loads((ROOT / "docs" / "analysis.schema.json").read_text())
    parts = [schema, *schema["$defs"].values()]
    fields = {name for part in parts for name in part.get("properties", {})}
    table = (ROOT / "docs" / "statistics.md").read_text().split("## The file")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (`[^|]+`) \|", table, re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`([a-z0-9_]+)`", row)}
    assert len(named) > 40
    assert named - fields == set()
