"""Paths as people write them: `~` is the home folder, and what is no path here is refused.

Every path that a user gives comes through `user_path`: keys of files, options and arguments, and
variables of the environment. A shell has expanded `~` and `$NAME` in most places, but not in a
file, in quotes or after `--set data_root=`, where they would become names of folders.

Variables are refused, set or not: a file would mean another thing wherever it is read, and what a
variable holds, which may be a secret, would stand in the records that people publish.
"""

import os
import re
from pathlib import Path

from kdgap.errors import BadInputError, one_line

_SLIPS = (
    (r"", "is empty; give a path, or . for this folder"),
    (r".*[\x00-\x1f\x7f].*", "holds a control character"),
    (r"\s.*|.*\s", "begins or ends with a space"),
    (r"""(["']).*\1""", "stands in quotes of its own; leave them out"),
    (r"(?i:file):/.*", "is a URL; write the path alone, without file://"),
    (r"[A-Za-z][A-Za-z0-9+.-]*://.*", "is a URL; download it, and give the path"),
    (r"[A-Za-z]:/.*|.*\\.*", "looks like a path of Windows; in WSL, C:\\data is /mnt/c/data"),
    (r".*\$[\w{(].*", "names a variable, and none is expanded here; write out what it holds"),
    (r".+/~(/.*)?", "holds a folder called ~, which only begins a path"),
)


def user_path(text: str | Path) -> Path:
    """Return the path that a user wrote, with a leading `~` or `~user` expanded.

    Raises:
        BadInputError: it is none, or its home folder is not known.
    """
    written = str(text)
    shown = one_line(repr(written), 120).replace("\\\\", "\\")
    for pattern, problem in _SLIPS:
        if re.fullmatch(pattern, written, re.DOTALL):
            raise BadInputError(f"{shown} {problem}")
    path = Path(written)
    if not written.startswith("~"):
        return path
    try:
        expanded = path.expanduser()
    except RuntimeError:
        expanded = path
    # With an empty HOME, ~ would be the root folder.
    if not expanded.is_absolute() or os.environ.get("HOME") == "":
        raise BadInputError(
            f"{shown}: the home folder of {path.parts[0]} is not known; write the whole path"
        )
    return expanded


def is_url(text: str) -> bool:
    """Whether a place is a URL rather than a path."""
    scheme, separator, _ = text.partition("://")
    return bool(separator) and scheme.replace("+", "").replace("-", "").isalnum()


def data_place(text: str) -> str:
    """Return the place of data that a user wrote: a path as `user_path` returns it, or a URL.

    What is on a web server is no place of data: nobody can say which files are there.

    Raises:
        BadInputError: it is neither.
    """
    scheme = text.partition("://")[0].lower()
    if is_url(text) and scheme not in ("file", "http", "https", "ftp"):
        return text
    return str(user_path(text))


def cache_folder() -> Path:
    """Return the cache folder: `KDGAP_CACHE`, or the platform's usual place.

    Raises:
        BadInputError: `KDGAP_CACHE` is no path.
    """
    given = os.environ.get("KDGAP_CACHE")
    if not given:
        import platformdirs

        return platformdirs.user_cache_path("kdgap", appauthor=False)
    try:
        return user_path(given)
    except BadInputError as error:
        raise BadInputError(f"KDGAP_CACHE: {error}") from None
