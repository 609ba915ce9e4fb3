"""A table in Markdown, LaTeX and CSV: whatever a name holds, it is shown and does nothing."""

import csv
import io
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from kdgap.report.tables import forms
from kdgap.report.tables.forms import Table, latex_text, markdown_text

HOSTILE = [
    r"a\b & 5% of $x$ #1 _u_ {c} ~t ^h <b> >",
    "<script>alert(1)</script>",
    "[click](javascript:alert(1)) ![i](x)",
    "two\nlines | and a\tpipe",
    "*bold* __under__ `code` ~~gone~~ &amp;",
    "=HYPERLINK(1)",
    r"\input{/etc/passwd} \\* [2em]",
    "* star",
    "−1 ± 2 → 3 … – “q”",
    "?`!` --- ,, '' \"",
    "\u6f22\u5b57 \U0001f600 \u202eevil\u200b",
]


def table(*cells: str | None, **changes: Any) -> Table:
    """A table of one row of text cells, which are its values, too."""
    columns = tuple(f"c{number}" for number in range(len(cells)))
    known: dict[str, Any] = {
        "name": "made",
        "title": "Made",
        "columns": columns,
        "rows": (cells,),
        "caption": "A caption.",
        "fields": columns,
        "values": (cells,),
    }
    return Table(**(known | changes))


# Markdown ---------------------------------------------------------------------------------------


def seen(markdown: str) -> list[str]:
    """Return what a reader of Markdown sees of each cell; anything but text is an error."""
    parser = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    texts = []
    for token in parser.parse(markdown):
        assert token.type != "html_block", token.content
        if token.type == "inline":
            parts = token.children or []
            kinds = {part.type for part in parts}
            assert kinds <= {"text", "text_special"}, (kinds, token.content)
            texts.append("".join(part.content for part in parts))
    return texts


def plain_text(text: str) -> str:
    folded = " ".join(text.split())
    return "".join(sign for sign in folded if sign not in "\u202e\u200b")


@pytest.mark.parametrize("text", HOSTILE)
def test_markdown_shows_hostile_names_as_they_are(text: str) -> None:
    shown = forms.as_markdown(table(text, "x", title=text, caption=f"See {text}"))
    expected = plain_text(text)
    assert seen(shown) == [expected, "c0", "c1", expected, "x", f"See {expected}"]


@given(st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1))
def test_markdown_shows_any_name_as_it_is(text: str) -> None:
    assert seen(forms.as_markdown(table(text, "x")))[3:5] == [text, "x"]


def test_html_and_pipes_are_escaped_in_markdown() -> None:
    assert markdown_text("<b>&|") == r"&lt;b&gt;&amp;\|"
    assert markdown_text("stem_resnet18") == "stem_resnet18"


def test_numbers_are_aligned_to_the_right_and_nothing_is_a_dash() -> None:
    shown = table("+0.13 [−0.09, +0.34]", "< 0.0001", None, "resnet18", "3 seeds")
    lines = forms.as_markdown(shown).splitlines()
    assert lines[3] == "| ---: | ---: | --- | --- | --- |"
    assert lines[4] == "| +0.13 [−0.09, +0.34] | &lt; 0.0001 | – | resnet18 | 3 seeds |"


# LaTeX ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\\", r"\textbackslash{}"),
        ("&", r"\&"),
        ("%", r"\%"),
        ("$", r"\$"),
        ("#", r"\#"),
        ("_", r"\_"),
        ("{", r"\{"),
        ("}", r"\}"),
        ("~", r"\textasciitilde{}"),
        ("^", r"\textasciicircum{}"),
        ("<", r"\textless{}"),
        (">", r"\textgreater{}"),
        ("−", "$-$"),
        ("±", r"$\pm$"),
        ("→", r"$\to$"),
        ("*", "$^{*}$"),
        ("–", "--"),
        ("--", "-{}-"),
        ("---", "-{}-{}-"),
        ("é", "é"),
        ("\u6f22", "U+6F22"),
        ("a\nb", "a b"),
        (r"\textbf{x}", r"\textbackslash{}textbf\{x\}"),
    ],
)
def test_every_special_character_is_escaped_in_latex(text: str, expected: str) -> None:
    assert latex_text(text) == expected


@given(st.text())
def test_no_text_becomes_a_command_of_its_own(text: str) -> None:
    shown = latex_text(text)
    for known in re.findall(r"\\text[a-z]+\{\}|\\ldots\{\}|\$[^$]+\$|\\[&%$#_{}]|\{\}", shown):
        shown = shown.replace(known, "", 1)
    assert not set(shown) & set("\\&%$#_{}~^<>")


def test_a_latex_table_has_booktabs_rules_and_its_caption() -> None:
    text = forms.as_latex(table("[1]", "−2 ± 1"))
    for rule in (r"\toprule", r"\midrule", r"\bottomrule"):
        assert text.count(rule) == 1
    assert r"{}[1] & $-$2 $\pm$ 1 \\" in text  # a bracket is no option of the line before
    assert text.index("A caption.") > text.index(r"\bottomrule")


def test_a_long_latex_table_goes_on_on_the_next_page() -> None:
    rows = tuple((str(number),) for number in range(100))
    text = forms.as_latex(table("0", rows=rows, values=rows))
    assert text.count(r"\begin{table}") == text.count(r"\end{table}") == 3
    assert text.count(r"\caption{") == 1
    assert all(rf"{{}}{number} \\" in text for number in range(100))


# CSV --------------------------------------------------------------------------------------------


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


@pytest.mark.parametrize(
    "first", ["=", "+", "-", "@", "\t", "\n", " =", "\xa0@", "\uff1d", "|", "%"]
)
def test_text_that_looks_like_a_formula_is_neutralised_in_csv(first: str) -> None:
    (row,) = rows_of(forms.as_csv(table(f"{first}1+1", "a=b")))
    assert row == {"c0": f"'{first}1+1", "c1": "a=b"}


@pytest.mark.parametrize(
    "sign", ["\r", "\x1b", "\x7f", "\x9b", "\u202e", "\u2066", "\u2028", "\ud800"]
)
def test_csv_has_no_sign_that_steers_a_terminal(sign: str) -> None:
    text = forms.as_csv(table(f"{sign}=1+1", f"a{sign}b"))
    assert sign not in text.encode().decode()
    (row,) = rows_of(text)
    assert row["c0"].startswith(("'\\", "\\"))
    assert row["c1"][0] + row["c1"][-1] == "ab"


def test_a_column_that_looks_like_a_formula_is_neutralised_as_well() -> None:
    text = forms.csv_text(["=a", "b"], [["x", 1]])
    assert text.splitlines()[0] == "'=a,b"


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_stays_a_number_with_every_digit(number: float) -> None:
    (row,) = rows_of(forms.csv_text(["a"], [[number]]))
    assert float(row["a"]) == number


def test_nothing_is_an_empty_cell() -> None:
    assert forms.csv_text(["a", "b"], [[None, -0.08]]) == "a,b\n,-0.08\n"
