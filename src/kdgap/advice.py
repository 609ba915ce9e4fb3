"""Commands in errors and remarks: each works as written, whatever stands in a path."""

import shlex
from pathlib import Path


def command(*words: object) -> str:
    """Return `kdgap WORDS...` as a shell takes it.

    Args:
        words: the command, its arguments and options; a path as a `Path`.
    """
    return shlex.join(["kdgap", *map(_word, words)])


def quoted(path: Path | str) -> str:
    """Return a path as a shell takes it, for the end of a command."""
    return shlex.quote(_word(Path(path)))


def _word(word: object) -> str:
    """Return a word; a path that would be an option or a home folder begins with `./`."""
    text = str(word)
    return f"./{text}" if isinstance(word, Path) and text.startswith(("-", "~")) else text
