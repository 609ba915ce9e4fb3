"""Where the line goes that a failed command ends with: to the terminal, or to who started it.

A process that starts commands gets the words through a pipe of their own, so that it need not
look for them among the remarks on stderr. Importing this module takes next to no time: a signal may
come before anything else is imported.
"""

import os
import stat

VARIABLE = "KDGAP_ERROR_PIPE"
"""Environment variable with the number of the pipe's end; `child.environment` leaves it out."""


def _given() -> int | None:
    number = os.environ.get(VARIABLE, "")
    if not (number.isascii() and number.isdigit()):
        return None
    try:
        return int(number) if stat.S_ISFIFO(os.fstat(int(number)).st_mode) else None
    except (OSError, OverflowError):
        return None


def hand_over(words: str) -> bool:
    """Write a line to the process that asked for it; return whether one did."""
    pipe = _given()
    if pipe is None:
        return False
    try:
        os.write(pipe, f"{words}\n".encode("utf-8", "backslashreplace"))
    except OSError:
        return False  # it has gone
    return True
