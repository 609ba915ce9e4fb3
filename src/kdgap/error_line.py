"""Where the line goes that a failed command ends with: to the terminal, or to who started it.

A process that starts commands gets the words through a pipe of their own, so that it need not
look for them among the remarks on stderr. Importing this module takes next to no time: a signal may
come before anything else is imported.
"""

import os

PIPE = "KDGAP_ERROR_PIPE"
"""Environment variable that holds the number of the pipe's end to write to."""


def hand_over(words: str) -> bool:
    """Write the words to the process that asked for them; return whether one did."""
    number = os.environ.get(PIPE, "")
    if not (number.isascii() and number.isdigit()):
        return False
    try:
        os.write(int(number), words.encode("utf-8", "backslashreplace"))
    except OSError:
        return False  # it has gone
    return True
