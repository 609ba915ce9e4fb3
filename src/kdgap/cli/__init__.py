"""The command line: parsing and printing only. Nothing here imports torch before it must."""

import sys
from typing import NoReturn

import typer
from typer.exceptions import TyperException

from kdgap.errors import KdgapError, one_line


def main() -> NoReturn:
    """Run the `kdgap` command."""
    from kdgap.cli.app import app

    run(app)


def run(app: typer.Typer) -> NoReturn:
    """Run an application; an error that a user can cause is one line on stderr and an exit code."""
    from kdgap.cli.given import expand_paths

    expand_paths(app)
    try:
        code = app(standalone_mode=False)
    except KdgapError as error:
        _fail(str(error), error.exit_code)
    except TyperException as error:
        message = error.format_message()
        if not message.strip():  # no arguments at all: the help page has been printed
            sys.exit(2)
        _fail(message, 2)
    except typer.Abort:  # Ctrl-C
        _fail("interrupted", 130)
    except BrokenPipeError:
        # The reader of our output went away (`kdgap models | head`): nothing is left to say.
        sys.stderr.close()
        sys.exit(0)
    except OSError as error:  # a path that is too long, a folder that may not be read
        place = f"{one_line(error.filename, 120)}: " if error.filename else ""
        _fail(f"{place}{error.strerror or error}", 2)
    sys.exit(code if isinstance(code, int) else 0)


def _fail(message: str, code: int) -> NoReturn:
    print(f"error: {one_line(message, 600)}", file=sys.stderr)
    sys.exit(code)
