"""A figure is saved as SVG, PNG and PDF with its title, legend, numbers and origin inside."""

import re
import struct
import xml.etree.ElementTree as ET
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from kdgap.numbers import interval, signed
from tests.browser.pages import Shown, Visitor, drawn

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser
GAINS = "gains-in-a-figure"
PICTURE = re.compile(rb"/Subtype\s*/Image\b")
SVG = "{http://www.w3.org/2000/svg}"


def saved(page: "Page", figure: str, kind: str, what: str = "figure") -> bytes:
    """What a button below a figure, or below a table that has a picture, hands over."""
    button = page.locator(f"{what}[data-key='{figure}'] button[data-key='{kind}']")
    with page.expect_download() as waiting:
        button.click()
    page.wait_for_timeout(120)  # Chromium drops whatever is more than ten downloads a second
    assert waiting.value.suggested_filename == f"{figure}.{kind}"
    return Path(waiting.value.path()).read_bytes()


def streams(pdf: bytes) -> list[str]:
    """The streams of a PDF that hold text, as text."""
    texts = []
    for match in re.finditer(rb"stream\r?\n(.*?)\r?\nendstream", pdf, re.DOTALL):
        try:
            texts.append(zlib.decompress(match[1]).decode("latin-1"))
        except zlib.error:
            texts.append(match[1].decode("latin-1"))
    return texts


def pdf_text(pdf: bytes) -> str:
    """The letters that a PDF of one font shows, in the order in which they are drawn."""
    parts = streams(pdf)
    (table,) = (part for part in parts if "beginbfchar" in part or "beginbfrange" in part)
    letters = {
        int(glyph, 16): bytes.fromhex(code).decode("utf-16-be")
        for glyph, code in re.findall(
            r"^<([0-9a-fA-F]{4})>\s*<([0-9a-fA-F]+)>\s*$", table, re.MULTILINE
        )
    }
    lines = re.findall(r"<([0-9a-fA-F]+)>\s*Tj", "\n".join(parts))
    return " ".join(
        "".join(letters.get(int(line[at : at + 4], 16), "?") for at in range(0, len(line), 4))
        for line in lines
    )


@pytest.mark.parametrize("shown", ["digits", "exported"], indirect=True)
def test_every_kind_of_file_says_what_the_figure_shows(visitor: Visitor, shown: Shown) -> None:
    page = visitor.open(shown)
    gains = page.evaluate("kdgap.study.analysis.gains")
    origin = page.evaluate("originWords()")
    assert "kdgap" in origin
    expected = ["Every gain with its interval", "interval of each by itself", origin]
    for gain in gains:
        expected.append(f"{signed(gain['gain_pp'])} {interval(gain['ci95_pp'])}")
        expected.append(f"n = {gain['n']}, {gain['n_baseline']}")
        expected.append(gain["verdict"])
    svg = ET.fromstring(saved(page, GAINS, "svg"))
    words = " ".join("".join(text.itertext()) for text in svg.iter(f"{SVG}text"))
    assert [part for part in expected if part not in words] == []
    pdf = saved(page, GAINS, "pdf")
    assert pdf.startswith(b"%PDF-")
    assert not PICTURE.search(pdf)  # lines and letters
    text = pdf_text(pdf)
    assert [part for part in expected if part not in text] == []
    png = saved(page, GAINS, "png")
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    size = struct.unpack(">II", png[16:24])
    assert size == tuple(3 * int(svg.attrib[key]) for key in ("width", "height"))
    canvas = page.evaluate(
        """async (bytes) => {
          const image = await createImageBitmap(new Blob([new Uint8Array(bytes)]));
          const canvas = new OffscreenCanvas(image.width, image.height).getContext("2d");
          canvas.drawImage(image, 0, 0);
          const pixels = canvas.getImageData(0, 0, image.width, image.height).data;
          return new Set(new Uint32Array(pixels.buffer)).size;
        }""",
        list(png),
    )
    assert canvas > 20  # something is drawn


def test_a_curve_is_saved_with_its_legend_and_what_was_done_to_it(
    visitor: Visitor, digits: Shown
) -> None:
    page = visitor.open(digits, "configuration?method=logit&role=final&smooth=5&part=last")
    text = pdf_text(saved(page, "curve-val_acc", "pdf"))
    names = page.locator("figure[data-key='curve-val_acc'] .legend li").all_inner_texts()
    assert len(names) == 3
    assert [name for name in names if name.strip() not in text] == []
    assert all(re.search(r"n = \d", name) for name in names)
    assert "Smoothed" in text
    assert "The last third of each training." in text


def test_letters_that_the_font_lacks_make_the_pdf_a_picture(
    visitor: Visitor, digits: Shown
) -> None:
    page = visitor.open(digits)
    page.evaluate("kdgap.study.title = '知識蒸留'")
    pdf = saved(page, GAINS, "pdf")
    assert PICTURE.search(pdf)
    assert "知識蒸留" in ET.tostring(ET.fromstring(saved(page, GAINS, "svg")), encoding="unicode")


def test_a_figure_is_saved_in_the_colours_of_the_page(visitor: Visitor, digits: Shown) -> None:
    for dark in (False, True):
        page = visitor.open(digits, dark=dark)
        paper = page.evaluate(
            "getComputedStyle(document.documentElement).getPropertyValue('--paper').trim()"
        )
        root = ET.fromstring(saved(page, GAINS, "svg"))
        background = root.find(f"{SVG}rect")
        assert background is not None
        assert background.attrib["fill"] == paper


def test_the_pdf_writer_is_loaded_when_it_is_needed(visitor: Visitor, digits: Shown) -> None:
    page = visitor.open(digits)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.reload()
    drawn(page, "overview")
    assert not any("jspdf" in url for url in asked)
    saved(page, GAINS, "pdf")
    saved(page, GAINS, "pdf")
    assert sum("jspdf" in url for url in asked) == 1
