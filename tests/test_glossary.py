"""Words have one meaning each, in one list; pages explain them where they are first met."""

import re
from html import escape

import pytest

from kdgap.glossary import LIST, TERMS, as_markdown, explained
from tests.conftest import ROOT

PAGE = ROOT / "docs" / "glossary.md"


def body(text: str) -> str:
    return explained(f"<html><head><title>seed</title></head><body>{text}</body></html>")


def test_the_page_in_the_docs_is_made_of_the_list() -> None:
    assert PAGE.read_text() == as_markdown(), f"{PAGE}: write it anew with `make docs`"


@pytest.mark.parametrize("term", TERMS)
def test_a_term_is_explained_once_and_where_it_is_first_met(term: str) -> None:
    page = body(f"<p>The {term} here.</p><p>And the {term} there, {term.upper()}.</p>")
    (text,) = re.findall(r"<dfn[^>]*>(.*?)</dfn>", page)
    assert text == term
    assert page.index("<dfn") < page.index("here")
    assert f'title="{escape(TERMS[term])}"' in page
    assert len(TERMS[term]) < 90  # one line of a page


@pytest.mark.parametrize("text", ["seeds", "Seed", "a seed.", "(seed)", "<b>seed</b>s"])
def test_plurals_and_capitals_are_the_same_word(text: str) -> None:
    assert "<dfn" in body(f"<p>{text}</p>")


@pytest.mark.parametrize(
    "text",
    [
        "<h2>seed</h2>",
        "<code>seed</code>",
        '<a href="#x">seed</a>',
        "<svg><text>seed</text></svg>",
        '<p title="seed">x</p>',
        "<p>seedling, re-seed, seed-1, a/seed, seed.zip, seed/1</p>",
        "<svg><g><a>x</a>seed</g></svg>",
    ],
)
def test_names_links_code_and_figures_are_left_alone(text: str) -> None:
    assert body(text) == f"<html><head><title>seed</title></head><body>{text}</body></html>"


def test_what_is_no_term_keeps_its_bytes_and_hostile_text_stays_escaped() -> None:
    text = "<p>&lt;script&gt;alert(1)&lt;/script&gt; &amp; seed &#39;x&#39;</p>"
    page = body(text)
    assert "<script" not in page
    assert re.sub(r"</?dfn[^>]*>", "", page) == body("").replace("</body>", f"{text}</body>")


def test_the_words_of_a_page_are_listed_for_paper() -> None:
    page = body(f"<p>A seed and a gain.</p>{LIST}")
    assert f"<dt>seed</dt><dd>{TERMS['seed']}.</dd>" in page
    assert "<dt>gain</dt>" in page
    assert "<dt>power</dt>" not in page


def test_longer_terms_win() -> None:
    assert body("<p>the seeds needed</p>").count("<dfn") == 1
    assert TERMS["seeds needed"] in body("<p>the seeds needed</p>")


@pytest.mark.parametrize("word", ["\u017ftudent", "pa\u0131r", "fam\u0131ly"])
def test_letters_that_look_like_ours_end_no_page(word: str) -> None:
    assert body(f"<p>{word} and a gain</p>").count("<dfn") == 1


def test_a_long_page_is_no_slower_than_its_length() -> None:
    rows = "<tr><td>run of a teacher, seed 1</td></tr>" * 20_000
    page = body(f"<p>{' '.join(TERMS)}</p><table>{rows}</table>")
    assert page.count("<dfn") > 30
    assert rows in page  # nothing is left to be explained there
