"""The command line: parsing and printing only. Nothing here imports torch before it must.

Importing this module takes next to no time, so that a Ctrl-C in the first moments of a command
finds somebody who ends it with one line and not with a traceback.
"""

from __future__ import annotations

import os
import sys

from kdgap import error_line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType
    from typing import NoReturn

    import typer

_WORDS = {2: "interrupted", 15: "told to stop"}
"""SIGINT and SIGTERM."""
_ASKED = {128 + number for number in _WORDS}
"""Exit codes of what somebody asked for, which is no error."""
LONGEST_ERROR = 2000
"""Characters; ten files with their folders are named in about half of it."""


class _EndedError(BaseException):
    """A signal that ends the process came. Not an `Exception`: nobody shall take it for a fault."""


def main(application: str = "kdgap.cli.app:app") -> NoReturn:
    """Be a command: `kdgap`, or one of the reference study's commands in `tools/`.

    Args:
        application: where the typer application is, as `module:name`.
    """
    try:
        import signal

        for number in _WORDS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, _end)
        # A terminal is for looking. Work goes on when it is closed, as it does when a log's reader
        # has gone; Ctrl-C and SIGTERM stop it.
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        from kdgap import terminal

        terminal.open_standard_streams()
        terminal.install()
        terminal.tidy(os.environ)
        module, _, name = application.partition(":")
        try:
            run(getattr(__import__(module, fromlist=[name]), name))
        finally:
            for number in _WORDS:  # what takes the interpreter apart is not to be disturbed
                signal.signal(number, signal.SIG_IGN)
    except _EndedError as ended:
        _say_ended(ended.args[0])
        sys.exit(128 + ended.args[0])
    except KeyboardInterrupt:
        _say_ended(2)
        sys.exit(130)


def _end(number: int, frame: FrameType | None) -> None:
    """End the process as a signal asks."""
    at = frame
    while at is not None:
        if at.f_code.co_filename.startswith("<frozen importlib"):
            # What an import does when it is broken off is its own affair: some print, some go on.
            _say_ended(number)
            os._exit(128 + number)
        at = at.f_back
    raise _EndedError(number)


def _say_ended(number: int) -> None:
    if error_line.hand_over(_WORDS[number]):
        return
    try:  # noqa: SIM105  (contextlib itself may be what is being imported)
        os.write(2, f"{_WORDS[number]}\n".encode())
    except OSError:
        pass  # nobody can be told


def run(app: typer.Typer) -> NoReturn:
    """Run an application and exit with its code; whatever ends it is one line on stderr.

    An error that a user can cause has a code of its own. A call of the system that fails, or memory
    that is lacking, ends with 2 if this process changed nothing on disk, else with 3. What nobody
    foresaw is a defect of ours and keeps its traceback.
    """
    from kdgap import files, terminal
    from kdgap.cli.given import expand_paths
    from kdgap.cli.help import give_pages
    from kdgap.errors import one_line

    expand_paths(app)
    give_pages(app)
    before = files.changes()
    with terminal.guarded() as answers:
        try:
            code, words = _outcome(app)
        except (OSError, MemoryError, RecursionError, UnicodeError) as error:
            code, words = _broken(error, changed=files.changes() > before)
        if answers.failure is not None and not answers.reader_left and code == 0:
            if files.changes() > before:
                terminal.tell(_undelivered(answers.failure))
            else:
                code, words = 2, _unanswered(answers.failure)
        words = one_line(words, LONGEST_ERROR)
        if words and not error_line.hand_over(words):
            terminal.tell(words if code in _ASKED else f"error: {words}")
    sys.exit(code)


def _undelivered(failure: OSError) -> str:
    """Return the note of a command that did its work and could not deliver its answer."""
    why = failure.strerror or failure
    return f"note: standard output: {why}; the work is done and kept, its answer not shown"


def _unanswered(failure: OSError) -> str:
    """Return the words of a command that had nothing but an answer, and could not deliver it."""
    return f"standard output: {failure.strerror or failure}; the answer could not be written"


def _outcome(app: typer.Typer) -> tuple[int, str]:
    """Run an application; return its exit code, and the words of the error that ended it."""
    import typer
    from typer.exceptions import TyperException

    from kdgap.cli.cluster import with_address
    from kdgap.errors import KdgapError

    code, words = 0, ""
    try:
        ended = app(with_address(sys.argv[1:]), standalone_mode=False)
        code = ended if isinstance(ended, int) else 0
        words = "interrupted" if code == 130 else ""  # typer's own way with Ctrl-C
    except KdgapError as error:
        code, words = error.exit_code, str(error)
    except TyperException as error:
        # Without any arguments the help page has been printed, and nothing is left to say.
        code, words = 2, error.format_message().strip()
    except typer.Abort:
        code, words = 130, "interrupted"
    except _EndedError as ended:
        code, words = 128 + ended.args[0], _WORDS[ended.args[0]]
    except SystemExit as ended:
        if isinstance(ended.__context__, OSError):
            raise ended.__context__ from None  # typer exits so where a pipe of ours is closed
        raise
    return code, words


def _broken(error: BaseException, *, changed: bool) -> tuple[int, str]:
    """Return exit code and words where the system, or the memory, let a command down."""
    from kdgap.errors import one_line

    if isinstance(error, OSError):
        place = f"cannot read or write {one_line(error.filename, 200)}: " if error.filename else ""
        words = f"{place}{error.strerror or error}"
    elif isinstance(error, MemoryError):
        words = "not enough memory"
    elif isinstance(error, RecursionError):
        words = "something that was read is nested too deeply"
    else:
        words = f"text that cannot be read or written: {one_line(error, 200)}"
    if changed:
        return 3, f"{words}; what was written before is kept: mend that and start it again"
    return 2, f"{words}; nothing was written"
