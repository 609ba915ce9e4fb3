"""What a piece of work costs a process of its own: for tests of small inputs with large bills."""

import subprocess
import sys
from dataclasses import dataclass

_ACCOUNT = """
import resource as _resource, sys as _sys
_peak = _resource.getrusage(_resource.RUSAGE_SELF).ru_maxrss * (
    1 if _sys.platform == "darwin" else 1024
)
if _sys.platform == "linux":  # the other one begins with the peak of the process that started this
    with open("/proc/self/status") as _lines:
        _peak = next(int(_line.split()[1]) * 1024 for _line in _lines if "VmHWM" in _line)
print(_peak)
"""


@dataclass(frozen=True)
class Bill:
    """What some code printed, and the most bytes of memory that its process held."""

    out: str
    err: str
    peak: int


def bill(code: str, *words: object) -> Bill:
    """Run Python code in a process of its own, with words in `sys.argv`; return what it cost."""
    done = subprocess.run(
        [sys.executable, "-c", code + _ACCOUNT, *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    *out, peak = done.stdout.splitlines()
    return Bill("\n".join(out), done.stderr, int(peak))
