"""Strict YAML: what is written is what is meant, or it is refused with its line."""

import math
import re
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdgap.errors import BadInputError
from kdgap.yamlio import MAX_BYTES, MAX_DEPTH, load, parse, scalar


def value_of(text: str) -> Any:
    return parse(f"key: {text}", "f.yaml").value["key"]


def refusal(text: str) -> str:
    with pytest.raises(BadInputError) as caught:
        parse(text, "f.yaml")
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("no", "no"),
        ("yes", "yes"),
        ("on", "on"),
        ("off", "off"),
        ("y", "y"),
        ("1e-3", 0.001),
        ("5e-4", 0.0005),
        ("1E5", 1e5),
        (".5", 0.5),
        ("1.", 1.0),
        ("-0.5", -0.5),
        ("+1", 1),
        ("-7", -7),
        ("0", 0),
        ("12:30:45", "12:30:45"),
        ("2024-01-01", "2024-01-01"),
        ("1_000", "1_000"),
        ("0x1F", "0x1F"),
        ("0o10", "0o10"),
        ("1.2.3", "1.2.3"),
        ("true", True),
        ("False", False),
        ("tRUE", "tRUE"),
        ("~", None),
        ("", None),
        ("null", None),
        ("nan", "nan"),
        (".inf", math.inf),
        ("-.INF", -math.inf),
        ("'false'", "false"),
        ('"true"', "true"),
        ("'1'", "1"),
        ('"010"', "010"),
        ("''", ""),
        ("'~'", "~"),
        ("|\n  010\n", "010\n"),
        ("=", "="),
        ("[1, no, 'no', 1e1]", [1, "no", "no", 10.0]),
        ("{a: 1, b: {c: off}}", {"a": 1, "b": {"c": "off"}}),
    ],
)
def test_a_value_has_the_type_that_it_shows(text: str, meant: object) -> None:
    value = value_of(text)
    assert value == meant
    assert type(value) is type(meant)


def test_nan_is_written_with_a_dot() -> None:
    assert math.isnan(value_of(".nan"))


@pytest.mark.parametrize("text", ["010", "-007", "0_1", "00", "0123456789"])
def test_a_leading_zero_is_refused_as_ambiguous(text: str) -> None:
    assert refusal(f"a: 1\nkey: {text}").startswith(f"f.yaml:2: {text!r} could mean octal")


def test_a_number_of_absurd_length_is_refused() -> None:
    assert refusal("a: 1\nkey: " + "9" * 5000) == "f.yaml:2: a number of 5000 digits"


@pytest.mark.parametrize("key", ["no", "1", "true", "null", "<<"])
def test_keys_stay_the_words_that_were_written(key: str) -> None:
    assert parse(f"{key}: 2", "f.yaml").value == {key: 2}


@pytest.mark.parametrize(
    ("text", "line", "first"),
    [
        ("lr: 1\nlr: 2", 2, 1),
        ("lr: 1\n\n# between\nlr: 1", 4, 1),
        ("teacher-weights: a\nlr: 1\nteacher_weights: b", 3, 1),
        ("kd_type: a\nkd-type: a", 2, 1),
        ("a_b-c: 1\na-b_c: 1", 2, 1),
        ("lr: 1\n'lr': 2", 2, 1),
        ("x:\n  a: 1\n  b: 2\n  a: 3", 4, 2),
        ("x:\n - {a: 1}\n - {b: 1,\n    b: 2}", 4, 3),
    ],
)
def test_a_duplicate_key_is_refused_with_both_lines(text: str, line: int, first: int) -> None:
    message = refusal(text)
    assert message.startswith(f"f.yaml:{line}: duplicate key ")
    assert message.endswith(f"first given in line {first}")


def test_one_key_in_two_mappings_is_no_duplicate() -> None:
    assert parse("a: {x: 1}\nb: {x: 2}", "f.yaml").value == {"a": {"x": 1}, "b": {"x": 2}}


BOMB = "a: &a [x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{chr(ord(name) - 1)}'] * 9)}]\n" for name in "bcde"
)


@pytest.mark.parametrize(
    "text",
    [
        "a: 1\nb: &x 1",
        "a: 1\nb: *x",
        "a: 1\n&x b: 2",
        "a: 1\nb: [&x 1, *x]",
        "a: 1\nb: &x {c: *x}",
        "k: 1\n" + BOMB,
    ],
)
def test_anchors_and_aliases_are_refused(text: str) -> None:
    assert refusal(text).startswith("f.yaml:2: anchors and aliases are not supported")


@pytest.mark.parametrize(
    "tag",
    [
        "!!python/object/apply:os.mkdir ['pwned']",
        "!!python/object:collections.OrderedDict {}",
        "!!python/name:os.system ''",
        "!!str 5",
        "!!int '5'",
        "!!binary aGk=",
        "!local 5",
        "! 5",
        "!<tag:example.org,2000:x> 5",
    ],
)
def test_tags_are_refused_and_never_acted_on(
    tag: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert refusal(f"a: 1\nb: {tag}").startswith("f.yaml:2: tags are not supported")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        "{" * 100_000,
        "a: " + "{a: " * 1000,
        "".join(" " * i + "-\n" for i in range(300)),
        "".join(" " * i + "a:\n" for i in range(300)),
        "- " * 300 + "1",
    ],
    ids=["lists", "mappings", "open mappings", "block lists", "block mappings", "one line"],
)
def test_deep_nesting_is_refused(text: str) -> None:
    assert refusal(text).endswith(f"nested deeper than {MAX_DEPTH} levels")


def test_sensible_nesting_is_accepted() -> None:
    depth = MAX_DEPTH - 1
    value = value_of("[" * (depth - 1) + "]" * (depth - 1))
    for _ in range(depth - 2):
        (value,) = value
    assert value == []


def test_a_long_document_is_not_a_deep_one() -> None:
    text = "".join(f"- {{a: [{i}]}}\n" for i in range(10 * MAX_DEPTH))
    assert parse(text, "f.yaml").value == [{"a": [i]} for i in range(10 * MAX_DEPTH)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: [1", "f.yaml:1: "),
        ("a: 1\nb: 'x", "f.yaml:2: "),
        ("a: 1\n\tb: 2", "f.yaml:2: "),
        ("a: b: c", "f.yaml:1: "),
        ("a: 1\n---\nb: 2", "f.yaml:2: "),
        ("a: @x", "f.yaml:1: "),
        ("? [1]\n: 2", "f.yaml:1: a key must be a plain word"),
        ("a: 1\n? {b: 1}\n: 2", "f.yaml:2: a key must be a plain word"),
        ("'': 1", "f.yaml:1: a key must be a plain word"),
        ("a: \0", "f.yaml: unacceptable character #x0000"),
        ("a: \x07", "f.yaml: unacceptable character #x0007"),
        ("a: \ud800", "f.yaml: unacceptable character #xd800"),
    ],
)
def test_broken_yaml_is_one_line_that_says_where(text: str, expected: str) -> None:
    assert refusal(text).startswith(expected)


@given(st.text(alphabet="ab0-:'\"[]{},&*!|>%@#?\n \t.~=<\\é\0", max_size=60))
def test_any_text_is_parsed_or_refused_in_one_line(text: str) -> None:
    try:
        parse(text, "f.yaml")
    except BadInputError as error:
        message = str(error)
    else:
        message = "f.yaml"
    assert message.startswith("f.yaml")
    assert "\n" not in message


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"a: \xff\xfe", "not UTF-8 text (byte 3)"),
        ("a: é".encode("latin-1"), "not UTF-8 text (byte 3)"),
        ("a: é".encode("utf-16-le"), "not UTF-8 text (byte 6)"),
        (b"a: 1\0", "unacceptable character #x0000"),
        (b"#" * (MAX_BYTES + 1), f"larger than {MAX_BYTES:,} bytes"),
    ],
    ids=["invalid", "latin-1", "utf-16 without a mark", "NUL", "large"],
)
def test_a_file_that_is_no_configuration_is_refused_by_name(
    content: bytes, expected: str, tmp_path: Path
) -> None:
    path = tmp_path / "f.yaml"
    path.write_bytes(content)
    with pytest.raises(BadInputError) as caught:
        load(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: {expected}")
    assert "\n" not in message


def test_a_large_file_is_not_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "sparse.yaml"
    with path.open("wb") as stream:
        stream.truncate(200 * MAX_BYTES)
    tracemalloc.start()
    try:
        with pytest.raises(BadInputError, match="larger than 64,000 bytes"):
            load(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 10 * MAX_BYTES


def test_a_file_of_the_largest_size_is_read(tmp_path: Path) -> None:
    path = tmp_path / "f.yaml"
    path.write_bytes(b"a: 1\n#".ljust(MAX_BYTES, b"x"))
    assert load(path).value == {"a": 1}


@pytest.mark.parametrize("text", ["", "\n\n", "# only a comment\n"])
def test_an_empty_file_is_an_empty_mapping(text: str) -> None:
    assert parse(text, "f.yaml").value == {}


def test_a_byte_order_mark_is_no_part_of_the_first_key() -> None:
    assert parse("\ufeffa: 1", "f.yaml").value == {"a": 1}


def test_a_missing_file_and_a_folder_are_refused_by_name(tmp_path: Path) -> None:
    for path in (tmp_path / "none.yaml", tmp_path):
        with pytest.raises(BadInputError, match=f"^cannot read {re.escape(str(path))}: "):
            load(path)


def test_where_gives_the_line_of_a_key_or_of_its_nearest_parent() -> None:
    document = parse("# head\na: 1\nb:\n  c:\n    - 1\n    - d: 2\n  e: 3\n", "f.yaml")
    assert document.where(("a",)) == "f.yaml:2"
    assert document.where(("b",)) == "f.yaml:3"
    assert document.where(("b", "c", 0)) == "f.yaml:5"
    assert document.where(("b", "c", 1, "d")) == "f.yaml:6"
    assert document.where(("b", "e")) == "f.yaml:7"
    assert document.where(("b", "e", "unknown", 3)) == "f.yaml:7"
    assert document.where(("unknown",)) == "f.yaml"


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("0.5", 0.5),
        ("1e-3", 0.001),
        ("no", "no"),
        ("[2, 3]", [2, 3]),
        ("runs/{seed}", "runs/{seed}"),
    ],
)
def test_a_command_line_value_is_read_as_in_a_file(text: str, meant: object) -> None:
    assert scalar(text, "--set key") == meant


def test_an_empty_command_line_value_is_the_empty_text() -> None:
    assert scalar("  ", "--set key") == ""


def test_a_bad_command_line_value_names_its_option() -> None:
    with pytest.raises(BadInputError, match=r"^--set key:1: "):
        scalar("[1", "--set key")
