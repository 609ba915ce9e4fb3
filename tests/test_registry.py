"""A registry finds things by name, and helps with a misspelt one."""

import pytest

from kdgap.errors import BadInputError
from kdgap.registry import Registry


@pytest.fixture
def colours() -> Registry[int]:
    registry: Registry[int] = Registry("colour")
    for number, name in enumerate(("red", "green", "blue")):
        registry.register(name)(number)
    return registry


def test_entries_come_back_by_name_in_order_of_registration(colours: Registry[int]) -> None:
    assert colours["green"] == 1
    assert list(colours) == ["red", "green", "blue"]
    assert colours.items() == [("red", 0), ("green", 1), ("blue", 2)]
    assert "blue" in colours
    assert "pink" not in colours


def test_a_misspelt_name_gets_the_nearest_one(colours: Registry[int]) -> None:
    with pytest.raises(BadInputError) as caught:
        colours["gren"]
    expected = "unknown colour 'gren' (did you mean 'green'?); known: red, green, blue"
    assert str(caught.value) == expected


def test_a_name_near_to_none_gets_no_guess(colours: Registry[int]) -> None:
    with pytest.raises(BadInputError) as caught:
        colours["xyzzy"]
    assert str(caught.value) == "unknown colour 'xyzzy'; known: red, green, blue"


def test_a_name_is_taken_once(colours: Registry[int]) -> None:
    with pytest.raises(ValueError, match="colour 'red' is registered twice"):
        colours.register("red")(7)
    assert colours["red"] == 0


def test_registering_returns_the_entry_itself() -> None:
    registry: Registry[type] = Registry("thing")

    @registry.register("one")
    class Entry:
        pass

    assert registry["one"] is Entry
