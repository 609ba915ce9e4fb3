"""Runners as processes: a stop reaches each of them, also one that is just being started."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from kdgap.errors import StoppedError
from kdgap.study.supervise import Supervisor


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stop_while_a_worker_is_being_started_reaches_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals, code: int
) -> None:
    started: list[subprocess.Popen[str]] = []

    class Interrupted(subprocess.Popen[str]):
        def __init__(self, _: Any, **options: Any) -> None:
            super().__init__([sys.executable, "-c", "import time; time.sleep(300)"], **options)
            started.append(self)
            os.kill(os.getpid(), number)  # before the supervisor knows of this worker

    monkeypatch.setattr(subprocess, "Popen", Interrupted)
    supervisor = Supervisor(
        tmp_path,
        ["cpu", "cpu"],
        ["--data-root", "data"],
        ["teachers"],
        lambda: None,
        lambda _: None,
    )
    with pytest.raises(StoppedError) as stopped:
        supervisor.run()
    for reader in supervisor._readers:
        reader.join()
    assert stopped.value.exit_code == code
    assert [worker.returncode for worker in started] == [-signal.SIGTERM]


@pytest.mark.parametrize(
    ("codes", "code", "whole"),
    [((4, 0), 4, 2), ((0, 4), 4, 2), ((4, 4), 4, 2), ((3, 0), 3, 1), ((2, 0), 2, 1)],
)
def test_a_worker_that_met_damage_stops_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, codes: tuple[int, int], code: int, whole: int
) -> None:
    """The first ends while the second is at work, which goes on to its end or is stopped."""
    done = [tmp_path / "0", tmp_path / "1"]
    waiting = (
        "import pathlib, time\n"
        f"while not pathlib.Path({str(done[0])!r}).exists(): time.sleep(.01)\n"
        f"time.sleep({1 if code == 4 else 600})\n"
    )

    class Scripted(subprocess.Popen[str]):
        started = 0

        def __init__(self, _: Any, **options: Any) -> None:
            number = Scripted.started
            Scripted.started += 1
            end = f"open({str(done[number])!r}, 'w'); raise SystemExit({codes[number]})"
            super().__init__([sys.executable, "-c", (waiting if number else "") + end], **options)

    monkeypatch.setattr(subprocess, "Popen", Scripted)
    supervisor = Supervisor(
        tmp_path, ["cpu", "cpu"], "data", ["finals"], lambda: None, lambda _: None
    )
    assert supervisor.run()[0] == code
    assert sum(path.exists() for path in done) == whole
