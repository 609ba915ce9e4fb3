"""Commands on terminals that are gone, full, narrow, odd or old: the work is done all the same."""

import fcntl
import json
import os
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from kdgap.cli import printing, run
from kdgap.cli.app import app
from kdgap.cli.progress import Bars, PlainLines, progress
from kdgap.cli.study_progress import StudyProgress
from kdgap.errors import StoreDamagedError
from kdgap.store.study import StudyDirectory
from tests.cli.test_hostile_text import STUDY
from tests.store.foreign_files import PLAIN, history, write

Command = Callable[..., "CompletedProcess[str]"]
Config = Callable[..., Path]
needs_full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="has no /dev/full")


def ended(words: tuple[object, ...], **streams: object) -> int:
    """Run `kdgap` in this process with other standard streams; return its exit code."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["kdgap", *map(str, words)])
        for name, stream in streams.items():
            patch.setattr(sys, name, stream)
        with pytest.raises(SystemExit) as stopped:
            run(app)
    code = stopped.value.code
    assert isinstance(code, int)
    return code


@pytest.fixture
def gone() -> Iterator[object]:
    """A pipe whose reader has gone."""
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as stream:
        yield stream


@pytest.fixture
def imported(workdir: Path, kdgap: Command) -> Path:
    for number, (kind, keys) in enumerate({"plain": dict(PLAIN), "kd": {}}.items()):
        for seed in range(3):
            epochs = history(0.5 + number / 10 + seed / 100)
            write(workdir / "theirs", f"final/{kind}/seed{seed}", seed=seed, history=epochs, **keys)
    assert kdgap("import", "theirs", "--out", "im").returncode == 0
    return workdir / "im"


EPOCHS = 20
LISTINGS = [
    ("models",),
    ("models", "--json"),
    ("methods",),
    ("env",),
    ("--help",),
    ("plan", "s.yaml"),
]


@pytest.fixture
def listing(workdir: Path) -> None:
    (workdir / "s.yaml").write_text(json.dumps(STUDY))


@pytest.mark.usefixtures("listing")
@pytest.mark.parametrize("words", LISTINGS, ids=" ".join)
def test_a_listing_whose_reader_left_is_fine(words: tuple[str, ...], gone: object) -> None:
    assert ended(words, stdout=gone, stderr=gone) == 0


@needs_full
@pytest.mark.usefixtures("listing")
@pytest.mark.parametrize("words", LISTINGS, ids=" ".join)
def test_an_answer_that_cannot_be_written_is_not_lost_in_silence(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with Path("/dev/full").open("w") as full:
        assert ended(words, stdout=full) == 2
    stderr = capsys.readouterr().err
    assert stderr.count("error: standard output: No space left on device") == 1
    assert ended(words, stdout=None) == 2
    assert "error: standard output: Bad file descriptor" in capsys.readouterr().err


@needs_full
@pytest.mark.usefixtures("imported")
@pytest.mark.parametrize("words", [("analyze", "im"), ("analyze", "im", "--json")])
def test_work_that_is_done_counts_where_its_answer_is_lost(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with Path("/dev/full").open("w") as full:
        assert ended(words, stdout=full) == 0
    assert "note: standard output: No space left on device; the work is done" in (
        capsys.readouterr().err
    )
    assert Path("im/analysis/analysis.json").exists()


@needs_full
@pytest.mark.parametrize("kind", ["reader gone", "disk full", "closed", "ascii"])
def test_training_does_not_depend_on_its_log(
    config: Config, gone: object, workdir: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr("kdgap.cli.progress.PLAIN_SECONDS", 0.0)  # a line an epoch
    path = config(epochs=3, limit=64, output_dir="out")
    with Path("/dev/full").open("w") as full, (workdir / "log").open("w", encoding="ascii") as log:
        streams = {"reader gone": gone, "disk full": full, "closed": None, "ascii": log}
        assert ended(("train", path), stdout=streams[kind], stderr=streams[kind]) == 0
    assert len(json.loads(Path("out/results.json").read_text())["history"]) == 3


@pytest.mark.usefixtures("imported", "listing")
@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp437"])
@pytest.mark.parametrize(
    "words", [*LISTINGS, ("analyze", "im"), ("show", "ä\udcff猫"), ("train", "\udcff.yaml")]
)
def test_no_encoding_ends_a_command(words: tuple[str, ...], encoding: str, tmp_path: Path) -> None:
    code = 2 if words[0] in ("show", "train") else 0
    with (tmp_path / "o").open("w", encoding=encoding) as stream:
        assert ended(words, stdout=stream, stderr=stream) == code
    shown = (tmp_path / "o").read_bytes().decode(encoding)
    assert shown.strip()
    if "--json" in words:
        json.loads(shown)


def test_json_is_exact_where_the_encoding_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workdir: Path
) -> None:
    value = {"naïve → 猫": ["\u202e", "\ud800"]}
    for encoding in ("ascii", "utf-8"):
        with (tmp_path / "o").open("w", encoding=encoding) as stream:
            monkeypatch.setattr(sys, "stdout", stream)
            printing.print_json(value)
        assert json.loads((tmp_path / "o").read_text(encoding)) == value


@pytest.mark.parametrize("columns", ["0", "-1", "nonsense", "²", "1", "100000"])
def test_odd_widths_show_the_whole_answer(columns: str) -> None:
    known = {"COLUMNS": columns, "TERMINAL_WIDTH": columns, "LINES": columns, "TERM": "unknown"}
    command = [sys.executable, "-m", "kdgap", "--help"]
    done = subprocess.run(
        command, env={**os.environ, **known}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert {"plan", "explore", "env"} <= set(done.stdout.split())
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("columns", "term", "kind"),
    [(200, "xterm", Bars), (40, "xterm", Bars), (39, "xterm", PlainLines), (1, "xterm", PlainLines),
     (120, "dumb", PlainLines), (120, "unknown", PlainLines)],
)  # fmt: skip
def test_bars_move_where_they_can(
    monkeypatch: pytest.MonkeyPatch, columns: int, term: str, kind: type
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setattr(printing.err, "_force_terminal", True)
    monkeypatch.setattr(printing.err, "_width", None)
    monkeypatch.setattr(printing.err, "_environ", {"TERM": term, "COLUMNS": str(columns)})
    assert isinstance(progress(3, "label"), kind)


@pytest.mark.parametrize("error", [StoreDamagedError("torn"), OSError("gone"), KeyError("epochs")])
def test_a_display_that_sees_nothing_ends_no_study(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, error: Exception
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("kdgap.cli.study_progress.survey", fail)
    with StudyProgress(StudyDirectory(tmp_path)) as display:
        display.refresh()


def test_a_study_goes_on_when_nobody_listens(workdir: Path) -> None:
    """Neither the supervisor nor its workers may end when the terminal of both is gone."""
    (workdir / "s.yaml").write_text(json.dumps(STUDY))
    words = f'"{sys.executable}" -m kdgap run s.yaml --only teachers --out st'
    shell = f"{words} 2>&1 | true; exit ${{PIPESTATUS[0]}}"
    assert subprocess.run(["bash", "-c", shell], check=False).returncode == 0
    assert len(list(workdir.glob("st/runs/*/*/manifest.json"))) == 1


def test_a_terminal_that_is_resized_and_closed_ends_no_training(
    config: Config, workdir: Path
) -> None:
    """As when a connection breaks: the terminal's end is gone, and a hang-up is sent."""
    path = config(epochs=EPOCHS, limit=128, output_dir="out")
    master, slave = os.openpty()
    resize(master, 80)
    environment = {key: value for key, value in os.environ.items() if key != "COLUMNS"}
    with subprocess.Popen(
        [sys.executable, "-m", "kdgap", "train", str(path)],
        stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
        env={**environment, "TERM": "xterm"},
    ) as process:  # fmt: skip
        os.close(slave)
        seen = b""
        while b"epoch" not in seen:  # the bar
            seen += os.read(master, 4096)
        for columns in (200, 3, 80, 0, 41, 500):
            resize(master, columns)
        os.close(master)
        process.send_signal(signal.SIGHUP)
        assert process.wait() == 0
    assert len(json.loads(Path("out/results.json").read_text())["history"]) == EPOCHS


def resize(terminal: int, columns: int) -> None:
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))


# Signals in the first moments

INTERRUPTED_AT = """
import os, signal, sys
from kdgap.cli import main
at, number, seen = int(sys.argv.pop(1)), int(sys.argv.pop(1)), 0
def hook(event, _):
    global seen
    if event == "import":
        seen += 1
        if seen == at:
            os.kill(os.getpid(), number)
sys.addaudithook(hook)
main()
"""


@pytest.mark.parametrize("at", [1, 2, 5, 30, 150, 400, 900])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_at_any_moment_of_the_start_is_one_line(at: int, number: int) -> None:
    """Deterministic moments: as many imports after the command's entry."""
    command = [sys.executable, "-c", INTERRUPTED_AT, str(at), str(int(number)), "models", "resnet8"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 128 + number, done.stderr
    words = "interrupted" if number == signal.SIGINT else "told to stop"
    assert done.stderr == f"{words}\n"
    assert done.stdout == ""


def test_a_signal_between_imports_is_one_line_too(workdir: Path) -> None:
    """In the middle of a command that writes: what it began is whole or not there."""
    code = (
        "import os, sys\nfrom kdgap import disk\nfrom kdgap.cli import main\n"
        "number = int(sys.argv.pop())\n"
        "class Full(disk.Disk):\n"
        "    def rename(self, *given):\n"
        "        os.kill(os.getpid(), number)\n"
        "        super().rename(*given)\n"
        "disk.current = Full()\nmain()\n"
    )
    write(workdir / "theirs", "final/plain/seed0", **PLAIN)
    for number in (signal.SIGINT, signal.SIGTERM):
        command = [sys.executable, "-c", code, "import", "theirs", "--out", "im", str(int(number))]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 128 + number, done
        words = "interrupted" if number == signal.SIGINT else "told to stop"
        assert done.stderr.splitlines()[-1] == words
        assert "error: " not in done.stderr
        assert "Traceback" not in done.stderr
        assert not list(workdir.rglob(".tmp-*"))
