"""The report's page of a study that names a reference."""

from dataclasses import replace

import pytest

from kdgap.judge.evidence import Evidence
from kdgap.report.tables.files import all_tables
from kdgap.spec.claims import Statistics
from kdgap.spec.slot import Slot
from tests.judge.builders import analyse, evidence, final, plain, runs_of
from tests.report.test_figures import left_on_a_phone
from tests.report.test_forms import HOSTILE
from tests.report.test_html import page_of

BASELINE = [94.9, 95.1, 94.8, 95.0, 94.7]
LOGIT = [95.2, 95.4, 95.0, 95.3, 95.1]
MORE = [95.9, 96.1, 95.8, 96.0, 95.7]


def study(name: str = "feature") -> Evidence:
    """Two pairs of one student and a control, against Logit-KD."""
    runs = runs_of(plain("little"), BASELINE)
    runs += runs_of(Slot("final", None, "little", "label_smoothing"), BASELINE)
    for teacher in ("big", "huge"):
        runs += runs_of(final(teacher, "little", "logit"), LOGIT)
        runs += runs_of(final(teacher, "little", name), MORE)
    return evidence(runs, statistics=Statistics(reference="logit"))


def test_the_page_has_both_gains_and_a_table_of_the_second() -> None:
    page = page_of(study())
    rows = {row[0]: row for row in page.rows("both-gains-table") if len(row) == 14}
    at = rows["method"].index("over Logit-KD")
    (reference,) = [row for name, row in rows.items() if name.startswith("Logit-KD")]
    (feature,) = [row for name, row in rows.items() if name.startswith("Feature-KD")]
    (control,) = [row for name, row in rows.items() if name.startswith("label")]
    assert reference[at] == "the reference"
    assert feature[at].startswith("+0.70 [+0.47, +0.93]")
    assert feature[at].endswith("gain")
    assert control[at].count("in big → little:") == control[at].count("in huge → little:") == 1
    lines = page.rows("reference-table")
    assert [row[0] for row in lines if len(row) == 1] == ["big → little", "huge → little"]
    assert len([row for row in lines if len(row) == 12]) == 1 + 4
    text = page.text(page.by_id("reference"))
    assert "Corrected for 4 such differences, a family apart" in text
    assert "over 5 gains over plain training, and over 4 over Logit-KD" in page.text(
        page.by_id("gains")
    )
    assert "Feature-KD over Logit-KD in big → little: +0.70 pp" in page.text(page.by_id("details"))
    assert "This is the reference" in page.text(page.by_id("details"))
    assert "Feature-KD over Logit-KD, big → little" in page.text(page.by_id("sensitivity"))


def test_a_phone_keeps_the_columns_that_decide() -> None:
    page = page_of(study())
    kept = ["95 % intervalsimultaneous", "verdict", "Holm p"]
    assert left_on_a_phone(page, "both-gains-table") == ["method", "gain", *kept]
    assert left_on_a_phone(page, "reference-table") == ["method", "difference", *kept]


def test_a_page_without_a_reference_says_nothing_of_one() -> None:
    page = page_of(replace(study(), statistics=Statistics()))
    assert len([row for row in page.rows("gain-table") if len(row) == 13]) > 1
    assert "over Logit-KD" not in page.text(page.by_id("main"))


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_method_is_shown_and_nothing_more(name: str) -> None:
    judged_study = study(name)
    for reference in ("logit", name):
        page_of(replace(judged_study, statistics=Statistics.model_construct(reference=reference)))


def test_tables_name_the_reference_and_what_is_corrected_over() -> None:
    judged_study = study()
    tables = {table.name: table for table in all_tables(judged_study, analyse(judged_study))}
    gains = tables["gains"]
    assert gains.columns[-1] == "Over Logit-KD"
    cells = {(row[0], row[1]): row[-1] for row in gains.rows}
    assert cells["big → little", "Logit-KD"] == "the reference"
    assert cells["big → little", "Feature-KD"] == "+0.70* [+0.47, +0.93] gain"
    control = cells["little", "label_smoothing"]
    assert control is not None
    assert control.startswith("big → little: −0.30")
    assert "; huge → little: −0.30" in control
    assert "corrected for 4 such differences, a family apart" in gains.caption
    over = tables["reference_gains"]
    assert (over.title, len(over.rows)) == ("Gains over Logit-KD", 4)
    assert "corrected for 4 such differences" in over.caption
    plain_tables = all_tables(judged_study, analyse(replace(judged_study, statistics=Statistics())))
    assert "reference_gains" not in {table.name for table in plain_tables}
