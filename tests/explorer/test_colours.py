"""The page's colours of methods: the report's on white, lighter ones that are seen on black."""

import re

import pytest

from kdgap.explorer.page import STATIC
from kdgap.report.figures import style

LIGHT, _, DARK = (STATIC / "explorer.css").read_text().partition("prefers-color-scheme: dark")


def declared(scheme: str) -> dict[str, str]:
    """The variables of a scheme."""
    block = re.search(r":root \{(.*?)\n *\}", scheme, re.DOTALL)
    assert block
    return dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", block[1]))


def luminance(colour: str) -> float:
    """Relative luminance, WCAG 2.2."""
    shares = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [
        share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares
    ]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(colour: str, other: str) -> float:
    """The contrast of two colours, from 1 to 21."""
    dark, light = sorted((luminance(colour), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def test_methods_have_the_colours_of_the_reports_figures() -> None:
    colours = [colour.lower() for colour, _ in style._LOOKS]
    assert [declared(LIGHT)[f"method-{place}"] for place in range(len(colours))] == colours
    assert declared(LIGHT).keys() == declared(DARK).keys()


@pytest.mark.parametrize("scheme", [LIGHT, DARK], ids=["light", "dark"])
def test_every_method_and_the_teachers_are_told_apart(scheme: str) -> None:
    names = [*(f"method-{place}" for place in range(len(style._LOOKS))), "teacher"]
    assert len({declared(scheme)[name] for name in names}) == len(names)


def test_every_line_is_seen_on_dark_paper() -> None:
    colours = declared(DARK)
    for name in [*(f"method-{place}" for place in range(len(style._LOOKS))), "teacher"]:
        assert contrast(colours[name], colours["paper"]) > 4.5  # of graphics, WCAG asks for 3
