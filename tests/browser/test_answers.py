"""Who agrees with whom: networks by their seeds, and means that say what they are of."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from kdgap.explorer.answers import answers_document
from kdgap.explorer.snapshot import Snapshot
from kdgap.judge.evidence import Evidence
from tests.browser.pages import Shown, Visitor
from tests.explorer.test_arm_documents import only
from tests.judge.builders import analyse
from tests.judge.kept_answers import forget, given_a_teacher, of_two_teachers, study_of

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser
SECTIONS = """(answers) => {
  kdgap.study.analysis = { settings: { confidence: 0.95 } };  // the study that is open has none
  document.querySelector("main").replaceChildren(
    el("p", { class: "sentence" }, answersSentence(answers)),
    ensembleSection(answers),
    agreementSection(answers),
  );
}"""


def answers_of(known: Evidence) -> dict[str, Any]:
    snapshot = Snapshot(Path(known.path), known, analyse(known))
    return answers_document(snapshot, only(snapshot, "final"))


def text(page: "Page", selector: str) -> str:
    texts = page.locator(selector).all_text_contents()
    return " ".join(" ".join(texts).replace("\u00a0", " ").split())


def test_a_teacher_given_as_a_file_is_one_row(
    visitor: Visitor, empty: Shown, tmp_path: Path
) -> None:
    page = visitor.open(empty)
    page.evaluate(SECTIONS, answers_of(given_a_teacher(tmp_path)))
    shown = text(page, "main figure[data-key=agreement] text")
    for name in ("plain training 0", "plain training 1", "distilled 0", "distilled 1"):
        assert name in shown
    assert "teacher 1" not in shown
    assert "two of teacher" not in text(page, "main table")
    rows = page.get_by_role("table", name="all seeds").get_by_role("row").all_text_contents()
    assert [row for row in rows if row.startswith("teacher1")]
    assert "first" not in text(page, "main caption")


def test_means_of_several_teachers_say_that_they_are_of_every_two(
    visitor: Visitor, empty: Shown, tmp_path: Path
) -> None:
    page = visitor.open(empty)
    page.evaluate(SECTIONS, answers_of(of_two_teachers(tmp_path)))
    shown = text(page, "main figure[data-key=agreement] text")
    for name in ("teacher 0", "teacher 1", "distilled 0/0", "distilled 0/1", "distilled 1/1"):
        assert name in shown
    assert "student/teacher" in text(page, "main figure[data-key=agreement]")
    captions = text(page, "main caption")
    assert "a student beside every teacher, not its own alone" in captions


def test_what_is_left_out_is_said(
    visitor: Visitor, empty: Shown, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kdgap.judge.image_by_image.MOST_RUNS", 1)
    known = study_of(tmp_path)
    forget(tmp_path, known.runs[-1])
    page = visitor.open(empty)
    page.evaluate(SECTIONS, answers_of(known))
    assert "Shown are 1 of 2 distilled students;" in text(page, "main .sentence")
    assert "the first 1 of each kind" in text(page, "main figure[data-key=agreement]")
    assert "the first 1 of each kind" in text(page, "main caption")


def test_the_share_that_a_student_answers_as_its_teacher_is_one_number(
    visitor: Visitor, digits: Shown
) -> None:
    page = visitor.open(digits, "predictions")
    sentence = text(page, "main .sentence")
    (gain,) = (g for g in page.evaluate("kdgap.study.analysis.gains") if shown_first(g))
    recorded = f"{100 * gain['fidelity']['top1_agreement']['mean']:.2f} %"
    assert f"Distilled students answer {recorded} of the images" in sentence
    rows = page.get_by_role("table", name="Mean share of test images").get_by_role("row")
    (row,) = (r for r in rows.all_text_contents() if r.startswith("teacher and distilled"))
    assert recorded.removesuffix(" %") in row


def shown_first(gain: dict[str, Any]) -> bool:
    return (gain["student"], gain["method"]) == ("2ch", "logit")
