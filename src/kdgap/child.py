"""Child processes that run nothing of the current directory, which may be a downloaded folder.

`python -m NAME` looks for modules in the current directory first, so that a `yaml.py` beside a
checkpoint would run. Every child starts from this file instead, with `-P` (no folder is put on the
module path), and inherits no variable that says "here": an empty or relative entry of a search path
is the current directory, or lies in it. A test tries every name that a child imports.
"""

import os
import runpy
import sys
from contextlib import suppress

_SEARCHED = (
    *("PATH", "PYTHONPATH", "PYTHONHOME", "PYTHONUSERBASE", "PYTHONPYCACHEPREFIX"),
    *("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "DYLD_FALLBACK_LIBRARY_PATH", "DYLD_FRAMEWORK_PATH"),
)
"""Where programs, modules and shared libraries are looked for."""
_PIPE = "KDGAP_ERROR_PIPE"
"""Of `error_line`, and of this process alone."""


def command(module: str, *words: str) -> list[str]:
    """Return the command that runs a module of ours in a child; start it with `environment()`."""
    return [sys.executable, "-P", os.path.abspath(__file__), module, *words]


def environment() -> dict[str, str]:
    """Return this process's environment; of its search paths, the absolute entries alone."""
    kept = dict(os.environ)
    kept.pop(_PIPE, None)
    for name in _SEARCHED:
        entries = kept.pop(name, "").split(os.pathsep)
        if absolute := [entry for entry in entries if os.path.isabs(entry)]:
            kept[name] = os.pathsep.join(absolute)
    return kept


def isolate() -> None:
    """Take what `environment()` leaves out from this process as well, for what it imports next."""
    given = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    # Python has made them absolute by now.
    relative = {os.path.abspath(entry) for entry in given if not os.path.isabs(entry)}
    entries = [entry for entry in sys.path if os.path.isabs(entry)]
    sys.path[:] = [entry for entry in entries if entry not in relative or entry in given]
    kept = environment()
    for name in os.environ.keys() - kept.keys() - {_PIPE}:
        del os.environ[name]
    os.environ.update(kept)


def bound_memory(most: int) -> None:
    """Bound this process's address space in bytes, by what is free as well; never loosen a limit.

    For a child that reads what others wrote: beyond the bound it gets `MemoryError`.
    """
    import resource  # not before `isolate`

    import psutil

    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    wanted = min(most, psutil.virtual_memory().available)
    if soft == resource.RLIM_INFINITY or wanted < soft:
        with suppress(ValueError, OSError):  # macOS knows the limit and refuses to set it
            resource.setrlimit(resource.RLIMIT_AS, (wanted, hard))


def bound_computing(seconds: int) -> None:
    """Bound this process's computing time; beyond it, the system ends it with SIGXCPU."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_CPU)
    if soft == resource.RLIM_INFINITY or seconds < soft:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_CPU, (seconds, hard))


def _start(module: str) -> None:
    """Be the child: run a module of the package that this file belongs to, installed or not."""
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    sys.path.insert(0, root)
    import kdgap  # noqa: F401  # its modules are found through it from here on

    # Behind everything else, for a process that this one starts by itself.
    sys.path.append(sys.path.pop(0))
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    _start(sys.argv.pop(1))
