"""An analysis goes to JSON and back, and the schema in the docs is that of the document."""

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from kdgap.files import json_text
from kdgap.judge.document import from_json, json_schema, to_json
from kdgap.judge.evidence import Evidence
from kdgap.judge.judging import analyse
from kdgap.judge.load import load
from kdgap.spec.claims import Statistics
from kdgap.spec.slot import Slot
from kdgap.store.imports.directory import ImportedDirectory
from kdgap.store.imports.imported import import_runs
from tests.conftest import ROOT, SHARED_DATA
from tests.judge.builders import claim, evidence, final, pair_of, plain, runs_of
from tests.report.test_html import whole

SCHEMA = ROOT / "docs" / "analysis.schema.json"
BASELINE, METHOD = [94.9, 95.1, 94.8, 95.0, 94.7], [95.2, 95.4, 95.0, 95.3, 95.1]


def some() -> list[Evidence]:
    """An analysis with everything in it, one of little, one of teachers, one of one seed."""
    runs = list(runs_of(plain("little"), BASELINE))
    for teacher in ("t1", "t2"):
        runs += runs_of(final("big", "little", "logit"), METHOD, teacher=teacher)
    runs += runs_of(Slot("teacher", None, "big", "none"), [97.0])
    term = {"weight": 1, "teacher": "big", "student": "little", "method": "logit"}
    return [
        whole(),
        evidence(runs, claims=(claim("more", [term]),)),
        pair_of(BASELINE, METHOD),
        pair_of([95.0], [95.3]),
        pair_of(BASELINE, [None] * 5),
        referred(),
    ]


def referred() -> Evidence:
    """Two methods, of which one is the reference of the other."""
    runs = runs_of(plain("little"), BASELINE) + runs_of(final("big", "little", "logit"), METHOD)
    runs += runs_of(final("big", "little", "feature"), METHOD)
    return evidence(runs, statistics=Statistics(reference="logit"))


@pytest.mark.parametrize("number", range(6))
def test_an_analysis_goes_to_json_and_back(number: int) -> None:
    analysis = analyse(some()[number])
    text = json_text(to_json(analysis))
    again = from_json(json.loads(text))
    assert again == analysis
    assert list(to_json(again)) == list(to_json(analysis))


@pytest.mark.parametrize("number", range(6))
def test_what_is_written_is_what_the_schema_says(number: int) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    document = to_json(analyse(some()[number]))
    jsonschema.validate(document, json_schema())
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document | {"gains": [{}]}, json_schema())


def test_published_runs_go_to_json_and_back(tmp_path: Path) -> None:
    if not SHARED_DATA.is_dir():
        pytest.skip("the published runs are not here")
    directory = ImportedDirectory(tmp_path / "out")
    directory.write(*import_runs(SHARED_DATA / "reference_runs" / "runs.zip", "published"))
    analysis = analyse(load(directory.path))
    assert from_json(json.loads(json_text(to_json(analysis)))) == analysis


@pytest.mark.parametrize(
    "change",
    [{"gains": [{}]}, {"settings": None}, {"format": "two"}, {"flags": [{"code": 3}]}],
)
def test_what_is_no_analysis_is_refused(change: dict[str, object]) -> None:
    document = to_json(analyse(pair_of(BASELINE, METHOD)))
    with pytest.raises(ValidationError):
        from_json(document | change)


def test_what_people_look_for_comes_first() -> None:
    """Names stand before numbers, although gains and claims inherit the numbers that they share."""
    document = to_json(analyse(whole()))
    assert list(document["gains"][0])[:4] == ["teacher", "student", "method", "label"]
    keys = list(document["gains"][0])
    assert keys.index("gain_pp") + 1 == keys.index("se_pp") < keys.index("runs")
    first, *_, last = document["contrasts"][0]
    assert (first, last) == ("name", "sentence")


def test_the_schema_in_the_docs_is_the_documents() -> None:
    schema = json.dumps(json_schema(), indent=1, ensure_ascii=False) + "\n"
    assert SCHEMA.read_text() == schema, (
        f"{SCHEMA} is of another analysis: write it anew with"
        " `make docs`, and let FORMAT rise if a"
        " reader of analysis.json could notice"
    )
