"""Help: every command in one group, whole names at every width, examples that can be typed."""

import os
import pty
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from subprocess import CompletedProcess
from typing import Any

import pytest
import typer

from kdgap import __version__
from kdgap.cli.app import COMMANDS, app
from kdgap.cli.help import MOST_COLUMNS

Command = Callable[..., "CompletedProcess[str]"]
GROUP: Any = typer.main.get_command(app)
VISIBLE = {name: command for name, command in GROUP.commands.items() if not command.hidden}


def test_every_command_is_in_one_group() -> None:
    named = [name for commands in COMMANDS.values() for name, *_ in commands]
    assert sorted(named) == sorted(VISIBLE)
    assert list(COMMANDS) == [
        "Study", "Judge results", "Single run", "Data and models", "Reference"
    ]  # fmt: skip


def test_the_version_is_one_line(kdgap: Command) -> None:
    ended = kdgap("--version")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, f"kdgap {__version__}\n", "")


def test_commands_are_known_before_anything_that_prints_is_loaded() -> None:
    code = "import sys, kdgap.cli.app; print(sorted({'rich', 'torch'} & set(sys.modules)))"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout == "[]\n"


@pytest.mark.parametrize("columns", [60, 80, 160])
def test_the_page_of_all_commands_has_them_by_group(
    kdgap: Command, monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    lines = kdgap("--help").stdout.splitlines()
    assert max(map(len, lines)) <= min(columns, MOST_COLUMNS)
    shown: dict[str, list[str]] = {}
    group = ""
    for line in lines:
        if heading := re.fullmatch(r"(\S.*):", line):
            group = heading[1]
        elif entry := re.match(r"  ([a-z]+)  +\S", line):
            shown.setdefault(group, []).append(entry[1])
    expected = {group: [name for name, *_ in commands] for group, commands in COMMANDS.items()}
    assert {group: shown[group] for group in expected} == expected
    text = " ".join(" ".join(lines).split())
    for command in VISIBLE.values():  # nothing of a sentence is cut off
        assert " ".join(command.help.partition("\n\n")[0].split()) in text


@pytest.mark.parametrize("columns", [60, 80, 160])
@pytest.mark.parametrize("name", VISIBLE)
def test_a_page_has_whole_names_and_examples_that_a_shell_reads(
    kdgap: Command, monkeypatch: pytest.MonkeyPatch, name: str, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    page = kdgap(name, "--help").stdout
    options = [option for param in VISIBLE[name].params for option in param.opts]
    assert [option for option in options if option[:1] == "-" and option not in page] == []
    assert "{" not in page.splitlines()[0]
    about, _, examples = page.partition("\nExample")
    assert max(map(len, about.splitlines())) <= min(columns, MOST_COLUMNS)
    typed = [shlex.split(line) for line in re.sub(r" \\\n +", " ", examples).splitlines()[1:]]
    written = VISIBLE[name].epilog.partition(": ")[2].split("\n")
    assert [words for words in typed if words] == [shlex.split(line) for line in written]


def output(words: tuple[str, ...], *, terminal: bool = False, **variables: str) -> str:
    """What a command prints, on both streams, in a process of its own."""
    environment = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "FORCE_COLOR")}
    environment |= {"TERM": "xterm-256color", **variables}
    command = [sys.executable, "-m", "kdgap", *words]
    if not terminal:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        return done.stdout + done.stderr
    master, slave = pty.openpty()
    with subprocess.Popen(command, env=environment, stdin=slave, stdout=slave, stderr=slave):
        os.close(slave)
        text = b""
        while True:
            try:
                piece = os.read(master, 4096)
            except OSError:  # Linux' way to say that the other end is closed
                break
            if not piece:
                break
            text += piece
    os.close(master)
    return text.decode()


@pytest.mark.parametrize("words", [("--help",), ("presets",), ("presets", "nothing")], ids=" ".join)
def test_colour_is_for_terminals_only(words: tuple[str, ...]) -> None:
    assert "\x1b" not in output(words)
    forced = "\x1b[" in output(words, FORCE_COLOR="1")
    assert forced == (words != ("presets", "nothing"))  # an error is one plain line everywhere


def test_a_terminal_has_colour_unless_it_is_asked_for_none() -> None:
    coloured = r"\x1b\[[0-9;]*3[0-9]m"
    assert re.search(coloured, output(("--help",), terminal=True))
    assert not re.search(coloured, output(("--help",), terminal=True, NO_COLOR="1"))
    assert "\x1b" not in output(("--help",), terminal=True, TERM="dumb")
