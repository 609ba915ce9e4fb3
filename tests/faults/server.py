"""Runs `kdgap` again and again in forks of one process, which has imported torch once.

A trial is the real command line in a process of its own; its children (workers, the unpickler) are
forks as well, with the words, pipes and session that the product asked for. Reads one trial a line
as JSON on stdin, answers each with one line on stdout.
"""

import importlib
import json
import os
import pkgutil
import runpy
import signal
import subprocess
import sys
import time
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure

import kdgap
from kdgap import child, disk
from kdgap.data import Request, load_dataset
from kdgap.engine.device import make_deterministic
from kdgap.models.build import model_cost
from kdgap.report.page.document import _environment
from kdgap.running.results import _provenance
from kdgap.spec.model import ModelSpec
from tests.faults.counting_disk import CountingDisk
from tests.report.sketches import sketch

SECONDS = 1200
"""Many times what any trial takes: longer is a hang."""


class Fork(subprocess.Popen[Any]):
    """A child of the product that is forked where the system would start Python anew."""

    def _execute_child(self, args: Any, executable: Any, *rest: Any) -> None:
        # CPython's own order: preexec_fn, close_fds, pass_fds, cwd, env, startupinfo,
        # creationflags, shell, and then the pipes.
        words = [str(word) for word in args]
        if words[0] != sys.executable:
            super()._execute_child(args, executable, *rest)  # type: ignore[misc]
            return
        cwd, environment = rest[3:5]
        reads, writes, out_reads, out_writes, err_reads, err_writes = rest[8:14]
        self.pid = os.fork()
        self._child_created = True
        if self.pid == 0:
            os.setsid()
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_DFL)
            for source, target in ((reads, 0), (out_writes, 1), (err_writes, 2)):
                if source != -1:
                    os.dup2(source, target)
            if cwd is not None:
                os.chdir(cwd)
            if environment is not None:
                os.environ.clear()
                os.environ.update(environment)
            _streams()
            entry = words.index(child.command("")[2])
            _leave(words[entry + 1], words[entry + 2 :])
        for handle, other in ((reads, writes), (out_writes, out_reads), (err_writes, err_reads)):
            if handle != -1 and other != -1:
                os.close(handle)


def _streams() -> None:
    for number, name in ((1, "stdout"), (2, "stderr")):
        stream = open(number, "w", encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
        setattr(sys, name, stream)


def _leave(module: str, words: list[str]) -> None:
    """Run a module as Python would, and end this process with its exit code."""
    sys.argv = [module, *words]
    if module == "kdgap":
        sys.path.insert(0, str(Path.cwd()))  # as `-m` does; the command takes it off again
    code: object = 1
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=False)
        code = 0
    except SystemExit as ending:
        code = 0 if ending.code is None else ending.code
    except BaseException:  # noqa: BLE001  # Python itself would print it
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
        os._exit(code if isinstance(code, int) else 1)


def _trial(asked: dict[str, Any]) -> dict[str, Any]:
    folder = Path(asked["folder"])
    pid = os.fork()
    if pid == 0:
        os.setsid()
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        for number, name in ((1, "out"), (2, "err")):
            os.dup2(os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), number)
        os.chdir(asked["cwd"])
        os.environ["KDGAP_CACHE"] = asked["cache"]
        _streams()
        subprocess.Popen = Fork  # type: ignore[misc]
        if asked["counted"]:
            disk.current = CountingDisk(folder, asked["fault"], asked["at"])
        _leave("kdgap", asked["words"])
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            code = os.waitstatus_to_exitcode(status)
            break
        time.sleep(0.002)
    else:
        os.killpg(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        code = -999
    return {
        "code": code,
        "out": (folder / "out").read_text(errors="replace"),
        "err": (folder / "err").read_text(errors="replace"),
    }


def main() -> None:
    """Serve until stdin ends."""
    # What every trial would do anew: imports, and what a process finds out about itself.
    for module in pkgutil.walk_packages(kdgap.__path__, "kdgap."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    Figure.savefig = sketch  # type: ignore[assignment, method-assign]
    pages = _environment()
    for name in pages.list_templates():
        if name.endswith(".html"):
            pages.get_template(name)
    for width in (0.0625, 0.125):
        model_cost(ModelSpec(name="resnet8", width=width), 10, 1, (8, 8))
    torch.set_num_threads(1)
    make_deterministic(0, 1)
    load_dataset("digits", Request(Path()))
    _provenance()

    for line in sys.stdin:
        print(json.dumps(_trial(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
