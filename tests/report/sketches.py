"""Figures as lists of what they show, for tests of commands that write some."""

import io
from contextlib import suppress
from html import escape
from typing import Any

from matplotlib.artist import Artist
from matplotlib.figure import Figure


def sketch(figure: Figure, stream: Any, **asked: Any) -> None:
    """Save what a figure shows as a list, where matplotlib would take 50 to 500 ms to draw it.

    No call to the disk is made by drawing, so that a list serves: other figures are other bytes.
    """
    lines = [str(asked), *map(_artist_text, figure.texts)]
    for axes in figure.axes:
        lines.append(f"{axes.get_xlim()} {axes.get_ylim()} {axes.get_xlabel()} {axes.get_ylabel()}")
        lines += map(_artist_text, [*axes.lines, *axes.collections, *axes.patches, *axes.texts])
    text = "\n".join(map(escape, lines))
    text = f'<svg><g id="figure_1"><text>{text}</text></g></svg>'
    stream.write(text if isinstance(stream, io.StringIO) else text.encode())


def _artist_text(artist: Artist) -> str:
    """Return where an artist is, what it says, and where it leads."""
    texts = [type(artist).__name__, str(artist.get_url())]
    for name in ("get_text", "get_position", "get_xydata", "get_offsets", "get_bbox", "get_urls"):
        with suppress(AttributeError, TypeError):
            texts.append(repr(getattr(artist, name)()))
    return " ".join(texts)
