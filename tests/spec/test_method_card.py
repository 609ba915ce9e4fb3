"""What a method says of itself goes to files and back; files of before and of later stay so."""

from dataclasses import replace
from typing import Any

import pytest

from kdgap.files import json_text
from kdgap.judge.document import from_json, to_json
from kdgap.judge.judging import analyse
from kdgap.methods import METHODS
from kdgap.spec.method_card import OWN_KEYS, UNKNOWN, MethodCard, read_cards
from tests.judge.builders import pair_of

LATER = {"venue": "ICLR", "label": "KD", "taps": {"maps": ["layer3"]}, "colour": None}
DOCUMENTS: list[dict[str, Any]] = [
    {},
    {"summary": "of before flat keys", "label": "KD", "soft_targets": True},
    {"flat": {"beta": "feat_beta"}, "colour": 3},
    LATER,
]


@pytest.mark.parametrize("name", sorted(METHODS))
def test_what_a_method_declares_goes_to_a_file_and_back(name: str) -> None:
    card = METHODS[name].about()
    assert list(card.written()) == list(OWN_KEYS)
    assert MethodCard.read(card.written()) == card
    assert card.written()["flat"] == dict(card.flat or {})


@pytest.mark.parametrize("document", DOCUMENTS)
def test_what_was_read_is_written_again_byte_by_byte(document: dict[str, Any]) -> None:
    card = MethodCard.read(document)
    assert json_text(card.written()) == json_text(document)
    assert MethodCard.read(card.written()) == card


@pytest.mark.parametrize("document", DOCUMENTS)
def test_an_analysis_has_it_as_the_plan_had_it(document: dict[str, Any]) -> None:
    methods = read_cards({"none": {}, "logit": document})
    analysis = analyse(pair_of([95.0, 95.1], [95.2, 95.4], methods=methods))
    written = to_json(analysis)
    assert json_text(written["methods"]) == json_text({"none": {}, "logit": document})
    assert from_json(written).methods == methods


def test_what_is_not_said_is_unknown() -> None:
    assert not UNKNOWN.keys
    assert UNKNOWN.label == ""
    assert {UNKNOWN.colour, UNKNOWN.flat, UNKNOWN.softened_by} == {None}
    assert MethodCard.read(LATER).further == {key: LATER[key] for key in ("venue", "taps")}


@pytest.mark.parametrize(
    ("declared", "softened_by"),
    [(True, "temperature"), (False, None), (None, None), ("", None), ("tau", "tau")],
)
def test_what_softens_the_targets_is_read_as_any_plan_says_it(
    declared: str | bool | None, softened_by: str | None
) -> None:
    assert replace(UNKNOWN, soft_targets=declared).softened_by == softened_by
