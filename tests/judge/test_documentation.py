"""docs/statistics.md names every field and every flag that an analysis has."""

import re
from pathlib import Path

import pytest

import kdgap
from kdgap.judge.document import to_json
from kdgap.spec.slot import Slot
from tests.conftest import ROOT
from tests.judge.builders import analyse, claim, evidence, final, plain, runs_of

PAGE = (ROOT / "docs" / "statistics.md").read_text()
ROOMS = ("judge", "planning", "running", "store", "study")
SOURCES = [path for room in ROOMS for path in Path(kdgap.__file__).with_name(room).rglob("*.py")]


def test_every_flag_is_described() -> None:
    codes = {
        code
        for path in SOURCES
        for code in re.findall(r'\b(?:Notice|serious)\(\s*"([a-z-]+)"', path.read_text())
    }
    assert len(codes) > 40
    assert {code for code in codes if f"`{code}`" not in PAGE} == set()


@pytest.mark.parametrize("part", ["gains", "contrasts", "ablations", "baselines", "settings"])
def test_every_field_is_described(part: str) -> None:
    values = [94.9, 95.1, 94.8]
    runs = runs_of(plain("little"), values) + runs_of(final("big", "little", "logit"), values)
    for side in ("base", "changed"):
        runs += runs_of(Slot("ablation", "big", "little", "logit", "", "clip", side), values)
    term = {"weight": 1, "teacher": "big", "student": "little", "method": "logit"}
    analysis = to_json(analyse(evidence(runs, claims=(claim("more", [term]),))))
    assert {key for key in analysis if f"`{key}`" not in PAGE} == set()
    entry = analysis[part] if part == "settings" else analysis[part][0]
    assert {key for key in entry if f"`{key}`" not in PAGE} == set()
