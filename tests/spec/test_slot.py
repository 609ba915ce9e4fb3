"""A slot keeps its parts apart, in memory and in files; files of before have them in one text."""

import pytest

from kdgap.spec.slot import Slot, of_first_role, slots_text

NAMED: dict[str, str] = {"teacher": "big", "student": "little", "method": "logit"}
PAIR = ("big", "little", "logit")
TRIED = Slot("selection", *PAIR, "alpha 0.5")
SLOTS = [
    (Slot("final", *PAIR), "", "big → little logit"),
    (
        Slot("selection", *PAIR, "alpha 0.5"),
        "alpha 0.5",
        "big → little logit (alpha 0.5)",
    ),
    (
        Slot("ablation", *PAIR, "", "clip", "base"),
        "clip: base",
        "big → little logit (clip: base)",
    ),
    (
        Slot("ablation", *PAIR, "", "a: b", "changed"),
        "a: b: changed",
        "big → little logit (a: b: changed)",
    ),
]


@pytest.mark.parametrize(("slot", "variant", "text"), SLOTS)
def test_a_slot_goes_to_a_file_and_back(slot: Slot, variant: str, text: str) -> None:
    assert (slot.variant, slot.text) == (variant, text)
    assert Slot.read(slot.written()) == slot
    assert "variant" not in slot.written()
    assert all(slot.written()[key] for key in ("role", "student", "method"))


@pytest.mark.parametrize(("slot", "variant", "text"), SLOTS)
def test_a_file_of_before_says_the_same(slot: Slot, variant: str, text: str) -> None:
    assert Slot.read({"role": slot.role, **NAMED, "variant": variant}) == slot
    assert Slot.read({"role": slot.role, **NAMED, "variant": variant}).text == text


def test_what_a_slot_is_of_has_no_candidate_and_no_arm() -> None:
    assert {slot.whole.text for slot, *_ in SLOTS} == {"big → little logit"}
    assert [slot.whole.role for slot, *_ in SLOTS] == [slot.role for slot, *_ in SLOTS]


def test_a_run_of_several_arms_is_shown_as_all_of_its_first_role() -> None:
    kd = Slot("final", "big", "little", "kd")
    first = Slot("final", *PAIR)
    assert slots_text([first, kd, first, TRIED]) == "big → little logit; big → little kd"
    assert of_first_role([TRIED, first, kd]) == (TRIED,)
    assert (slots_text([]), of_first_role([])) == ("", ())
