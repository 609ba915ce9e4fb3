"""Help pages: plain lines at every width, commands in groups, each example to be copied.

The page of typer's own boxes cuts the names of options short at 80 columns and lists commands below
80 columns without their groups. This one is the same everywhere, with colour on a terminal only.
"""

import re
import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperArgument, TyperCommand, TyperGroup

from kdgap.terminal import LEAST_COLUMNS

if TYPE_CHECKING:
    from typer._click import Context, HelpFormatter

MOST_COLUMNS = 100
"""Longer lines of prose are hard to read."""
_HEADING = r"(?m)^(Usage|\S[^\n]*:$)"
_OPTION = r"(?<![\w-])--?[a-z][\w-]*"
_SHELL_WORD = re.compile(r"(?:'[^']*'|\"[^\"]*\"|\S)+")


def give_pages(app: typer.Typer) -> None:
    """Give an application and its commands these pages, as wide as the terminal is now."""
    columns = min(max(shutil.get_terminal_size().columns, LEAST_COLUMNS), MOST_COLUMNS)
    app.info.cls = GroupPage
    app.info.context_settings = {**(app.info.context_settings or {}), "terminal_width": columns}
    for command in app.registered_commands:
        command.cls = Page
        # A command that is the whole application has no group to take the width from.
        command.context_settings = {
            **(command.context_settings or {}),
            "terminal_width": columns,
        }


class _Page:
    """What the page of a command and that of a group share."""

    def format_help(self, ctx: "Context", formatter: "HelpFormatter") -> None:
        """Show the page, with colour where the answer goes to a terminal."""
        command: Any = self
        command.format_usage(ctx, formatter)
        command.format_help_text(ctx, formatter)
        command.format_options(ctx, formatter)
        _write_examples(command.epilog or "", formatter)
        from kdgap.cli.printing import answer_styled

        answer_styled(formatter.getvalue(), {_HEADING: "bold", _OPTION: "cyan"})
        formatter.buffer.clear()  # typer prints what is in it

    def collect_usage_pieces(self, ctx: "Context") -> list[str]:
        """Return the words of the usage line: what is required stands without braces."""
        pieces: list[str] = super().collect_usage_pieces(ctx)  # type: ignore[misc]
        return [piece.replace("{", "").replace("}", "") for piece in pieces]

    def _write_parameters(self, ctx: "Context", formatter: "HelpFormatter") -> None:
        command: Any = self
        sections: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
        for parameter in command.get_params(ctx):
            if (record := parameter.get_help_record(ctx)) is None:
                continue  # hidden
            name, text = record
            if isinstance(parameter, TyperArgument):
                sections["Arguments"].append((parameter.display_name_raw, text))
            else:
                sections["Options"].append((name.replace(" range>", ">"), text))
        for title, rows in sections.items():
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)


class Page(_Page, TyperCommand):
    """The page of one command."""

    def format_options(self, ctx: "Context", formatter: "HelpFormatter") -> None:
        """Write arguments and options."""
        self._write_parameters(ctx, formatter)


class GroupPage(_Page, TyperGroup):
    """The page of all commands, by their groups."""

    def format_options(self, ctx: "Context", formatter: "HelpFormatter") -> None:
        """Write the commands of each group, in the order in which they were registered."""
        groups: dict[str, list[tuple[str, str]]] = {}
        for name in self.list_commands(ctx):
            command = self.get_command(ctx, name)
            if command is not None and not command.hidden:
                about = " ".join((command.help or "").partition("\n\n")[0].split())
                group = getattr(command, "rich_help_panel", None) or "Commands"
                groups.setdefault(group, []).append((name, about))
        widest = max(len(name) for rows in groups.values() for name, _ in rows)
        for group, rows in groups.items():
            with formatter.section(group):
                formatter.write_dl([(name.ljust(widest), about) for name, about in rows])
        self._write_parameters(ctx, formatter)


def _write_examples(epilog: str, formatter: "HelpFormatter") -> None:
    """Write `HEADING: EXAMPLE`, and further examples on lines of their own, each as it is typed."""
    heading, _, examples = epilog.partition(": ")
    if examples:
        with formatter.section(heading):
            for example in examples.split("\n"):
                for line in _folded(example, formatter.width - 4):
                    formatter.write(f"  {line}\n")


def _folded(example: str, columns: int) -> Iterator[str]:
    """Yield a command as lines that a shell reads as one command."""
    line = ""
    for word in _SHELL_WORD.findall(example):
        if line and len(line) + 1 + len(word) > columns:
            yield f"{line} \\"
            line = f"    {word}"
        else:
            line = f"{line} {word}".lstrip(" ") if not line else f"{line} {word}"
    yield line
