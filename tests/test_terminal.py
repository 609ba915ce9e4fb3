"""No failure to show may stop or fail the work, and no answer is lost in silence."""

import errno
import io
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO

import pytest

from kdgap import terminal
from kdgap.terminal import guarded, tell

Break = Callable[[str], IO[str] | None]
needs_full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="has no /dev/full")


@pytest.fixture
def broken(tmp_path: Path) -> Iterator[Break]:
    """Return a stream that is broken in some way."""
    opened: list[IO[str]] = []

    def make(kind: str) -> IO[str] | None:
        if kind == "none":
            return None
        if kind == "reader gone":
            read, write = os.pipe()
            os.close(read)
            stream: IO[str] = os.fdopen(write, "w")
        elif kind == "disk full":
            stream = Path("/dev/full").open("w")  # noqa: SIM115
        elif kind == "handle closed":
            handle = os.open(tmp_path / "closed", os.O_WRONLY | os.O_CREAT)
            stream = os.fdopen(handle, "w", closefd=False)
            os.close(handle)
        else:
            stream = (tmp_path / "closed").open("w")
            stream.close()
        opened.append(stream)
        return stream

    yield make
    for stream in opened:
        with suppress(OSError):
            stream.close()


KINDS = [
    ("reader gone", errno.EPIPE),
    pytest.param("disk full", errno.ENOSPC, marks=needs_full),
    ("handle closed", errno.EBADF),
    ("stream closed", errno.EBADF),
    ("none", errno.EBADF),
]


@pytest.mark.parametrize(("kind", "code"), KINDS)
def test_what_cannot_be_shown_is_dropped_and_remembered(
    monkeypatch: pytest.MonkeyPatch, broken: Break, kind: str, code: int
) -> None:
    monkeypatch.setattr(sys, "stdout", broken(kind))
    monkeypatch.setattr(sys, "stderr", broken(kind))
    with guarded() as answers:
        for _ in range(3):
            tell("a remark")
            sys.stdout.write("an answer\n")
            sys.stdout.flush()
        assert answers.failure is not None
        assert answers.failure.errno == code
        assert answers.reader_left == (kind == "reader gone")


def test_outside_of_guarded_a_remark_fails_nothing_either(
    monkeypatch: pytest.MonkeyPatch, broken: Break
) -> None:
    for kind in ("reader gone", "stream closed", "none"):
        monkeypatch.setattr(sys, "stderr", broken(kind))
        tell("a worker's last words")


@pytest.mark.parametrize(
    ("encoding", "shown"),
    [
        ("ascii", "a -> b: -0.08 +/- 0.2 ... ?"),
        ("latin-1", "a -> b: -0.08 ± 0.2 ... ?"),
        ("cp1252", "a -> b: -0.08 ± 0.2 … ?"),
        ("utf-8", "a → b: −0.08 ± 0.2 … 猫"),
        ("utf-16-le", "a → b: −0.08 ± 0.2 … 猫"),
    ],
)
def test_a_sign_that_the_encoding_lacks_becomes_the_nearest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoding: str, shown: str
) -> None:
    with (tmp_path / "out").open("w", encoding=encoding, errors="strict") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        with guarded() as answers:
            sys.stdout.write("a → b: −0.08 ± 0.2 … 猫")
            assert answers.failure is None
    assert (tmp_path / "out").read_bytes().decode(encoding) == shown


def test_a_reader_who_stopped_reading_stops_no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal, "PATIENCE_SECONDS", 0.02)
    read, write = os.pipe()
    with os.fdopen(write, "w") as stream, os.fdopen(read, "rb", buffering=0) as reader:
        monkeypatch.setattr(sys, "stderr", stream)
        with guarded():
            for _ in range(1000):  # many times what a pipe holds
                tell("x" * 1000)
            while len(reader.read(2**16)) == 2**16:
                pass
            tell("and reads again")
        assert reader.read(2**16).endswith(b"and reads again\n")


def test_an_answer_waits_for_its_reader_also_where_the_pipe_would_not() -> None:
    """A shell's other programs may leave a pipe in the mode in which a full one is an error."""
    read, write = os.pipe()
    os.set_blocking(write, False)
    got = bytearray()

    def drain() -> None:
        while part := os.read(read, 4096):
            got.extend(part)

    reader = threading.Thread(target=drain)
    reader.start()
    text = "0123456789" * 100_000
    with pytest.MonkeyPatch.context() as patch, os.fdopen(write, "w") as stream:
        patch.setattr(sys, "stdout", stream)
        with guarded() as answers:
            sys.stdout.write(text)
        assert answers.failure is None
    reader.join()
    os.close(read)
    assert got.decode() == text


def test_a_stream_without_a_descriptor_is_written_to() -> None:
    with pytest.MonkeyPatch.context() as patch:
        stream = io.StringIO()
        patch.setattr(sys, "stdout", stream)
        with guarded():
            sys.stdout.write("\x1b[1m\ud800")
            sys.stdout.rich_proxied_file.write("\x1b[1mbold")  # type: ignore[union-attr]
    assert stream.getvalue() == "\\x1b[1m\\ud800\x1b[1mbold"


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("120", "120"), ("40", "40"), ("39", "40"), ("1", "40"), ("0", None), ("-5", None),
        ("²", None), ("wide", None), ("", None), ("8e1", None), ("9" * 400, None), (" 80", None),
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", ["COLUMNS", "TERMINAL_WIDTH"])
def test_a_width_that_is_none_is_not_believed(name: str, given: str, kept: str | None) -> None:
    environment = {name: given, "OTHER": "x"}
    terminal.tidy(environment)
    assert environment == {"OTHER": "x", **({} if kept is None else {name: kept})}


def test_what_is_opened_gets_no_standard_streams_number(tmp_path: Path) -> None:
    """Else a library's warning on stderr would land in a checkpoint."""
    code = (
        "import os, sys; from kdgap import terminal; terminal.open_standard_streams();"
        f" h = os.open({str(tmp_path / 'data')!r}, os.O_RDWR | os.O_CREAT); assert h > 2, h;"
        " assert all(os.get_inheritable(n) for n in range(3)); assert not sys.stdin.isatty();"
        " os.write(1, b'lost'); os.write(2, b'lost')"
    )
    shell = ["sh", "-c", '"$0" -c "$1" <&- >&- 2>&-', sys.executable, code]
    assert subprocess.run(shell, check=False).returncode == 0
    assert (tmp_path / "data").read_bytes() == b""
