"""A matplotlib figure as SVG inside an HTML page: named, small, no id twice, nothing fetched."""

import re
from collections.abc import Mapping
from io import StringIO

from markupsafe import Markup, escape
from matplotlib.figure import Figure

from kdgap.report.figures.style import style

_POINTS_TO_PIXELS = 96 / 72
_NARROWEST = 0.78
"""Share of its natural width below which a figure scrolls, so that its words stay readable."""
_METADATA = {"Date": None, "Creator": None, "Format": None, "Type": None}

_TAG = re.compile(r"<[^>]+>")
_ID = re.compile(r' id="([^"]+)"')
_USED = re.compile(r'(?:href="#|url\(#)([^")]+)')
_LONG_NUMBER = re.compile(r"(\.\d\d)\d+")
_FONT = re.compile(r" ?font-family: [^;\"]+;?")
_LINK = re.compile(r'<a href="(#[^"]*)"[^>]*>')


def inline_svg(
    figure: Figure,
    key: str,
    name: str,
    description: str,
    tips: Mapping[str, str] | None = None,
    largest: float = 1.0,
) -> Markup:
    """Return a figure as an `svg` element.

    Args:
        figure: what is drawn.
        key: what its ids begin with; unlike in every figure of the page.
        name, description: what it is, for those who do not see it.
        tips: link → words that are shown beside a point.
        largest: how many times its natural width it may become where there is room.

    A figure with links is a group, since links inside an image would be hidden. They are left out
    of the tab order: there are hundreds, and the page's tables lead to the same places.
    """
    stream = StringIO()
    with style():
        figure.savefig(stream, format="svg", metadata=_METADATA)
    drawn = stream.getvalue()
    width, height = (float(size) * 72 for size in figure.get_size_inches())
    body = _compact(drawn[drawn.index('<g id="figure_1">') : drawn.rindex("</svg>")], key)
    body = _LINK.sub(lambda match: _link(match[1], tips or {}), body)
    role = "group" if "<a " in body else "img"
    natural = width * _POINTS_TO_PIXELS
    least = natural * _NARROWEST
    # Safe: `body` comes from matplotlib, which escapes every text, and `_link` from `escape`.
    return Markup(  # noqa: S704
        f'<svg role="{role}" aria-labelledby="{key}-name {key}-words"'
        f' viewBox="0 0 {width:g} {height:g}"'
        f' style="max-width:{natural * largest:.0f}px;min-width:{least:.0f}px">'
        f'<title id="{key}-name">{escape(name)}</title>'
        f'<desc id="{key}-words">{escape(description)}</desc>{body}</svg>'
    )


def _link(target: str, tips: Mapping[str, str]) -> str:
    return f'<a href="{target}" tabindex="-1"><title>{escape(tips.get(target, target))}</title>'


def _compact(drawn: str, key: str) -> str:
    """Drop what a page does not need, and make the ids that are left the figure's own."""
    drawn = drawn.replace("xlink:href", "href")
    # Links lead out of the figure: their targets keep their names.
    outward = set(re.findall(r'<a href="#([^"]+)"', drawn))
    names = dict.fromkeys(_USED.findall(drawn))
    used = {name: name if name in outward else f"{key}-{n}" for n, name in enumerate(names)}

    def own(match: re.Match[str]) -> str:
        return f' id="{used[match[1]]}"' if match[1] in used else ""

    def tag(match: re.Match[str]) -> str:
        text = match[0].replace(" \n", " ").replace("\n", " ")
        text = _FONT.sub("", _ID.sub(own, text))
        if "#" in text:
            text = _USED.sub(lambda at: at[0].replace(at[1], used[at[1]]), text)
        text = re.sub(r' transform="rotate\(-0 [^"]*"', "", text)
        return _LONG_NUMBER.sub(r"\1", text)

    return re.sub(r"\n\s*", "", _TAG.sub(tag, drawn))
