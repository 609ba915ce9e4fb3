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
