"""The one way to the terminal: everything that is shown, on a terminal, in a pipe or in a log.

The rule, for every command:

1. **Work first.** A remark on stderr (note, progress, error) that cannot be shown is dropped. It
   never stops, fails or changes what is being done, nor its exit code. A terminal that is closed
   or stopped is such a case: a reader who does not read is waited for a few seconds, once.
2. **The answer of a command** (stdout) may go unread: where the reader has left (a closed pipe, a
   closed terminal), no more is written, and the command ends as if all had been read. Where it
   cannot be written for another reason (a full disk, a closed descriptor), a command that has
   changed nothing on disk ends with 2, for its answer was all it had; one that has done its work
   says so in a note and ends with the code of the work.
3. **A sign that the encoding lacks** is replaced by the nearest plain one; in JSON it is escaped.
4. **Text from elsewhere has no effect.** File names, names in result files, what a worker or a
   library says: control characters, those that turn or hide text, and halves of characters are
   shown as escapes such as `\\x1b`. JSON escapes them as JSON does, so that it is the same value.

Whoever prints does so through `kdgap.cli.printing` or `tell`; while `guarded` is in force, all that
libraries print goes this way as well.
"""

import codecs
import errno
import io
import os
import select
import sys
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager, redirect_stdout, suppress
from pathlib import Path
from typing import NoReturn, TextIO, cast

from kdgap import disk, error_line
from kdgap.text import HIDDEN as HIDDEN
from kdgap.text import visible as visible

PATIENCE_SECONDS = 5.0
"""How long a remark waits for a reader who has stopped reading; the next ones do not wait."""
LEAST_COLUMNS = 40
"""On narrower terminals lines run over, as they do in any program."""
_PIECE = 512  # what a pipe that is ready takes at least without waiting, everywhere (POSIX)

_NEAREST = {
    "−": "-", "–": "-", "—": "-", "…": "...", "→": "->", "←": "<-", "±": "+/-", "·": "|",
    "\u00d7": "x",
    "≤": "<=", "≥": ">=", "≈": "~", "“": '"', "”": '"', "\u2018": "'", "\u2019": "'", "‖": "||",
    "\u03b1": "alpha", "\u03b2": "beta", "━": "-", "╸": "-", "╺": "-",
}  # fmt: skip


def escaped_json(text: str) -> str:
    """Return JSON with what `HIDDEN` names as JSON's own escapes; it holds the same value."""
    if text.isascii() and "\x7f" not in text:
        return text  # JSON has escaped the others itself
    return HIDDEN.sub(lambda match: _json_escape(match[0]), text)


def _json_escape(sign: str) -> str:
    units = sign.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))


def _nearest(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    lacking = error.object[error.start : error.end]
    return "".join(_NEAREST.get(sign, "?") for sign in lacking), error.end


codecs.register_error("kdgap.nearest", _nearest)


def written(text: str, encoding: str) -> str:
    """Return text as it stands where it is written in an encoding, each sign that lacks replaced.

    What lays text out asks first, for a replacement may be wider than the sign.
    """
    return text.encode(encoding, "kdgap.nearest").decode(encoding)


class _Outlet:
    """Where bytes leave the process; remembers a failure instead of raising it."""

    def __init__(self, under: TextIO | None, *, patient: bool) -> None:
        self.under, self._patient = under, patient
        self.encoding = getattr(under, "encoding", None) or "utf-8"
        self.failure: OSError | None = None
        self._late = False
        self._handle: int | None = None
        if under is not None:
            with suppress(OSError, ValueError):
                self._handle = under.fileno()
                under.flush()
        # A terminal that was closed is asked now, for it does not say so afterwards.
        self.is_terminal = self._handle is not None and os.isatty(self._handle)

    def put(self, text: str) -> None:
        try:
            if self.under is None:
                raise OSError(errno.EBADF, os.strerror(errno.EBADF))
            if self._handle is not None:
                self._write(memoryview(text.encode(self.encoding, "kdgap.nearest")))
            else:
                self.under.write(text.encode("utf-8", "replace").decode())
        except (OSError, ValueError) as error:  # ValueError: the stream is closed
            lost = error if isinstance(error, OSError) else OSError(errno.EBADF, str(error))
            self.failure = self.failure or lost

    def _write(self, left: memoryview) -> None:
        assert self._handle is not None
        while left:
            if self._patient:
                seconds = 0 if self._late else PATIENCE_SECONDS
                self._late = not select.select([], [self._handle], [], seconds)[1]
                if self._late:
                    return
            try:
                taken = os.write(self._handle, left[:_PIECE] if self._patient else left)
            except BlockingIOError:
                select.select([], [self._handle], [])
                continue
            left = left[taken:]

    @property
    def reader_left(self) -> bool:
        """Whether there is nobody any more who could read."""
        code = self.failure.errno if self.failure else None
        return code == errno.EPIPE or (code == errno.EIO and self.is_terminal)


class Guarded(io.TextIOBase):
    """A text stream that shows no control character and never fails.

    `rich_proxied_file` is the same stream for rich, which steers the terminal itself and gets its
    texts from `kdgap.cli.printing`.
    """

    def __init__(self, outlet: _Outlet, *, steering: bool = False) -> None:
        self.outlet, self._steering = outlet, steering
        if not steering:
            self.rich_proxied_file = Guarded(outlet, steering=True)

    @property
    def encoding(self) -> str:  # type: ignore[override]  # typeshed has a variable
        """What text is encoded in."""
        return self.outlet.encoding

    @property
    def errors(self) -> str:  # type: ignore[override]
        """As a signal to `input`, which asks."""
        return "replace"

    def writable(self) -> bool:
        """Whether it can be written to: always."""
        return True

    def isatty(self) -> bool:
        """Whether a person may be looking."""
        return self.outlet.is_terminal

    def fileno(self) -> int:
        """Return the descriptor. Raises `OSError` where there is none."""
        if self.outlet.under is None:
            raise io.UnsupportedOperation("fileno")
        return self.outlet.under.fileno()

    def write(self, text: str) -> int:
        """Show text."""
        self.outlet.put(text if self._steering else visible(text))
        return len(text)

    def flush(self) -> None:
        """Do nothing: what is written is shown at once."""


@contextmanager
def guarded() -> Iterator[_Outlet]:
    """Send everything that this process prints this way; yield where answers leave."""
    before = sys.stdout, sys.stderr
    install()
    try:
        yield cast("Guarded", sys.stdout).outlet
    finally:
        sys.stdout, sys.stderr = before


def install() -> None:
    """Send everything that this process prints from here on this way."""
    if not isinstance(sys.stdout, Guarded):
        sys.stdout = cast("TextIO", Guarded(_Outlet(sys.stdout, patient=False)))
    if not isinstance(sys.stderr, Guarded):
        sys.stderr = cast("TextIO", Guarded(_Outlet(sys.stderr, patient=True)))


@contextmanager
def aside() -> Iterator[None]:
    """Take what is printed in between for remarks: foreign code prints no answer of ours."""
    with redirect_stdout(sys.stderr):
        yield


def tell(text: str) -> None:
    """Print one remark on stderr, as one line, if anybody can be told."""
    with suppress(OSError, ValueError):
        if sys.stderr is not None:
            sys.stderr.write(f"{visible(text, one_line=True)}\n")
            sys.stderr.flush()


def end_at_once(code: int) -> NoReturn:
    """End the process from a signal's handler: one line, and the cursor that bars hide is back."""
    with suppress(OSError):
        if os.isatty(2):
            os.write(2, b"\x1b[?25h")
        if not error_line.hand_over("interrupted"):
            os.write(2, b"interrupted\n")
    os._exit(code)


def open_standard_streams() -> None:
    """Put nothing in place of standard streams that are closed.

    The next file that is opened would get such a stream's number, and whatever a library prints
    would land in it.
    """
    for handle in range(3):
        try:
            os.fstat(handle)
        except OSError:
            # It gets the lowest number that is free.
            nothing = disk.current.open(Path(os.devnull), os.O_RDWR)
            os.set_inheritable(nothing, True)
    if sys.stdin is None:
        sys.stdin = io.StringIO()


def tidy(environment: MutableMapping[str, str]) -> None:
    """Take out widths and heights that are none: libraries would believe or fail over them."""
    for name in ("COLUMNS", "LINES", "TERMINAL_WIDTH"):
        given = environment.get(name, "")
        sensible = given.isascii() and given.isdigit() and 0 < int(given[:9]) == int(given)
        if not sensible:
            environment.pop(name, None)
        elif name != "LINES":
            environment[name] = str(max(int(given), LEAST_COLUMNS))
