"""No view has anything that axe finds fault with: names, roles, order, contrast."""

from importlib.resources import files
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.pages import VIEWS, Shown, Visitor, narrow, unfold

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser
STUDIES = [
    "digits",
    pytest.param("published", marks=pytest.mark.shared_data),
    *("empty", "failing"),
]


@pytest.fixture(scope="session")
def axe() -> str:
    """The script of axe-core."""
    pytest.importorskip("axe_playwright_python", reason="needs axe: pip install -e '.[dev]'")
    return (files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")


CONTRAST = {"runOnly": ["color-contrast"]}
ALL_ELSE = {"rules": {"color-contrast": {"enabled": False}}}


def faults(page: "Page", axe: str, **options: Any) -> list[str]:
    """Return what axe objects to, of whatever impact, one line an element."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(axe)
    report = page.evaluate(
        "(options) => axe.run({ resultTypes: ['violations'], ...options })", options
    )
    assert report["passes"] or report["incomplete"]  # it did look
    return [
        f"{fault['id']} ({fault['impact']}): {' '.join(map(str, node['target']))}:"
        f" {' '.join(node['failureSummary'].split())}"
        for fault in report["violations"]
        for node in fault["nodes"]
    ]


@pytest.mark.parametrize("shown", STUDIES, indirect=True)
@pytest.mark.parametrize("view", VIEWS)
def test_axe_finds_no_fault(visitor: Visitor, shown: Shown, axe: str, view: str) -> None:
    page = visitor.open(shown, view, bypass_csp=True)
    unfold(page)
    by_view = {"wide, light": faults(page, axe)}
    # Of a dark page, only the colours are others; of a narrow one, anything but the colours.
    page.emulate_media(color_scheme="dark")
    by_view["wide, dark"] = faults(page, axe, **CONTRAST)
    narrow(page, view)
    unfold(page)  # a phone folds more
    by_view["narrow"] = faults(page, axe, **ALL_ELSE)
    assert not any(by_view.values()), by_view


def test_axe_would_find_one(visitor: Visitor, digits: Shown, axe: str) -> None:
    page = visitor.open(digits, bypass_csp=True)
    page.evaluate("document.querySelector('main').append(document.createElement('button'))")
    page.evaluate("document.querySelector('main h1').style.color = '#aaa'")
    rules = {
        name: {fault.partition(" ")[0] for fault in faults(page, axe, **options)}
        for name, options in (("all", {}), ("contrast", CONTRAST), ("else", ALL_ELSE))
    }
    assert rules["all"] >= {"button-name", "color-contrast"}
    assert rules["contrast"] == {"color-contrast"}
    assert rules["else"] == rules["all"] - {"color-contrast"}
