"""Text from elsewhere, shown so that it steers, turns and hides nothing: the one rule for it."""

import os
import re
from collections.abc import Mapping
from pathlib import Path

HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # controls, but for tab and line end
    "\xad\u061c\u180e\u200b-\u200f\u2060-\u206f\ufeff\ufff9-\ufffb"  # no width; bidi marks
    "\u2028-\u202e"  # line and paragraph separators, bidi embeddings and overrides
    "\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U000e007f"  # tags
    "\ud800-\udfff]"  # halves of characters
)
"""Characters that steer a terminal, turn or hide text, or cannot be written."""
_LINES = {"\n": "\\n", "\t": "\\t"}


def visible(text: str, *, one_line: bool = False) -> str:
    """Return text without effect on whatever shows it: what `HIDDEN` names stands as an escape.

    Args:
        text: any text.
        one_line: so do a line's end and a tab, so that no text can pretend to be a line of ours.
    """
    if text.isprintable():
        return text
    for sign in _LINES if one_line else ():
        text = text.replace(sign, _LINES[sign])
    return HIDDEN.sub(lambda match: _escape(ord(match[0])), text)


def _escape(code: int) -> str:
    short = f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
    return short if code < 0x10000 else f"\\U{code:08x}"


def one_line(text: object, limit: int = 300) -> str:
    """Fold any text to one visible line of at most `limit` characters."""
    folded = visible(" ".join(str(text).split()), one_line=True)
    return folded if len(folded) <= limit else folded[: limit - 1] + "…"


def value_text(value: object) -> str:
    """Return a setting as people write it: 2.0 is 2."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def settings_text(settings: Mapping[str, object]) -> str:
    """Return settings in words, such as `alpha 0.5, temperature 4`."""
    return ", ".join(f"{name} {value_text(value)}" for name, value in settings.items())


WIDENED = frozenset(
    f"resnet{size}" for size in ("14x2", "38x2", "110x2", "8x4", "14x4", "32x4", "38x4")
)
"""Networks with names of their own that read like another one's name with a width factor."""


def sized(name: object, width: object) -> str:
    """Return a network's name with its width factor, where it has one: `resnet8x0.5`.

    Where another network is called so, the factor is spelled out: `resnet8-width4`.
    """
    text = f"{name}x{value_text(width)}"
    if text in WIDENED:
        return f"{name}-width{value_text(width)}"
    return str(name) if width == 1 else text


def shown(path: Path | str) -> str:
    """Return a path as one visible line, whatever bytes are in its name."""
    return visible(os.fsencode(path).decode("utf-8", "backslashreplace"), one_line=True)
