"""What was locked before the first final was tested: its hash, and whether it is still that."""

from typing import Any

from kdgap.store.seal import digest

CHANGED_BY_HAND = "pre-registration changed by hand"
"""Mark of a study whose pre-registration is not what was locked."""
LOST = "pre-registration lost"
"""Mark of a study whose finals were tested, and whose pre-registration is gone."""


def content_hash(content: dict[str, Any]) -> str:
    """Return the SHA-256 of what is pre-registered."""
    return digest(content)


def is_whole(locked: Any) -> bool:
    """Whether a pre-registration is what was once locked."""
    try:
        return bool(content_hash(dict(locked["content"])) == locked["sha256"])
    except (KeyError, TypeError, ValueError, RecursionError):
        return False
