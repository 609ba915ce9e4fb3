"""What was locked before the first final was tested: its hash, and whether it is still that."""

from collections.abc import Mapping
from typing import Any

from kdgap.notice import Notice, serious
from kdgap.store.seal import digest

POST_HOC = "post-hoc-"
"""What codes of what was changed after the first test begin with; its name follows."""
CHANGED_BY_HAND = serious(
    "pre-registration-changed-by-hand",
    "pre-registration changed by hand",
    "pre-registration changed by hand",
)
LOST = serious("pre-registration-lost", "pre-registration lost", "pre-registration lost")
"""Finals were tested, and the pre-registration is gone."""


def judged_otherwise(what: str) -> Notice:
    """Return that `statistics` or `primary` is another one than was locked."""
    return serious(f"{POST_HOC}{what}", f"post hoc: {what}", f"post hoc: {what}")


def content_hash(content: Mapping[str, object]) -> str:
    """Return the SHA-256 of what is pre-registered."""
    return digest(content)


def is_whole(locked: Any) -> bool:
    """Whether a pre-registration is what was once locked."""
    try:
        return bool(content_hash(dict(locked["content"])) == locked["sha256"])
    except (KeyError, TypeError, ValueError, RecursionError):
        return False
