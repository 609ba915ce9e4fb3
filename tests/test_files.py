"""Every write is all or nothing, and JSON is strict both ways."""

import hashlib
import json
import math
import os
import re
from pathlib import Path
from typing import NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdgap import files
from kdgap.errors import StoreDamagedError
from kdgap.files import (
    append_line,
    file_hash,
    json_text,
    parse_json,
    read_json,
    write_atomic,
    write_json,
)


def fail(*_: object) -> NoReturn:
    raise OSError(28, "No space left on device")


def interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def test_a_write_creates_and_replaces(tmp_path: Path) -> None:
    path = tmp_path / "record"
    for content in (b"old", b"new", b""):
        write_atomic(path, content)
        assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("call", ["os.fsync", "os.replace"])
@pytest.mark.parametrize("there_before", [True, False])
def test_a_failed_write_leaves_what_was_there_and_nothing_else(
    call: str, there_before: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "record"
    if there_before:
        path.write_bytes(b"old")
    monkeypatch.setattr(call, fail)
    with pytest.raises(OSError, match="No space left"):
        write_atomic(path, b"new")
    assert [p.read_bytes() for p in tmp_path.iterdir()] == [b"old"] * there_before


def test_an_interrupted_write_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "record"
    path.write_bytes(b"old")
    monkeypatch.setattr("os.fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomic(path, b"new")
    assert [p.read_bytes() for p in tmp_path.iterdir()] == [b"old"]


def test_content_is_synced_before_it_takes_the_name_and_the_folder_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, calls = tmp_path / "record", []
    fsync, replace = os.fsync, os.replace

    def noted_fsync(handle: int) -> None:
        calls.append("folder" if os.fstat(handle).st_ino == tmp_path.stat().st_ino else "file")
        fsync(handle)

    def noted_replace(source: Path, target: Path) -> None:
        calls.append("rename")
        assert Path(source).read_bytes() == b"new"
        assert Path(source).parent == path.parent
        replace(source, target)

    monkeypatch.setattr("os.fsync", noted_fsync)
    monkeypatch.setattr("os.replace", noted_replace)
    write_atomic(path, b"new")
    assert calls == ["file", "rename", "folder"]


def test_an_appended_line_joins_the_others(tmp_path: Path) -> None:
    path = tmp_path / "log"
    append_line(path, "one")
    append_line(path, "zwei é")
    assert path.read_text(encoding="utf-8") == "one\nzwei é\n"


@pytest.mark.parametrize("tail", [b"thr", b"\xc3", b"\0\0", b"\n"])
def test_lines_after_a_torn_one_are_whole(tail: bytes, tmp_path: Path) -> None:
    path = tmp_path / "log"
    append_line(path, "one")
    with path.open("ab") as stream:
        stream.write(tail)
    append_line(path, "four")
    append_line(path, "five")
    lines = path.read_bytes().split(b"\n")
    assert lines == [b"one", tail.strip(b"\n"), b"four", b"five", b""]


def test_an_appended_line_is_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, seen = tmp_path / "log", []
    monkeypatch.setattr("os.fsync", lambda _: seen.append(path.read_text()))
    append_line(path, "one")
    append_line(path, "two")
    # The first line made the file, whose name is synced with the folder.
    assert seen == ["one\n", "one\n", "one\ntwo\n"]


def test_a_line_that_failed_to_sync_does_not_tear_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "log"
    append_line(path, "one")
    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", fail)
        with pytest.raises(OSError, match="No space left"):
            append_line(path, "two")
    append_line(path, "three")
    assert path.read_text().splitlines() in (["one", "three"], ["one", "two", "three"])


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_json_with_nan_or_infinity_is_not_written(value: float, tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    write_json(path, {"loss": 1.0})
    with pytest.raises(ValueError, match="JSON"):
        write_json(path, {"history": [{"loss": value}]})
    assert read_json(path) == {"loss": 1.0}
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("text", ["NaN", "[Infinity]", '{"a": -Infinity}'])
def test_json_with_nan_or_infinity_is_not_read(text: str, tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    path.write_text(text)
    with pytest.raises(ValueError, match="is not JSON"):
        parse_json(text)
    with pytest.raises(StoreDamagedError, match="is not JSON"):
        read_json(path)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b'{"a": 1', b"\xff", b"{'a': 1}", b"[1,]", b"[" * 100_000, b"1 2"],
    ids=["empty", "open", "torn", "not UTF-8", "quotes", "comma", "deep", "two values"],
)
def test_a_torn_json_file_is_named_in_one_line(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    path.write_bytes(content)
    with pytest.raises(StoreDamagedError) as caught:
        read_json(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_a_missing_json_file_is_damage(tmp_path: Path) -> None:
    with pytest.raises(StoreDamagedError, match=r"none\.json"):
        read_json(tmp_path / "none.json")


@pytest.mark.parametrize("value", [0.1, 1e-300, 1 / 3, 5e-324, 2**53 + 1, "é\u2028<", None, [True]])
def test_json_keeps_every_value_exactly(value: object, tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    write_json(path, {"value": value})
    assert read_json(path) == {"value": value}
    assert "\n" not in json_text(value, indent=None)


def test_the_hash_is_sha256_of_the_bytes(tmp_path: Path) -> None:
    path = tmp_path / "abc"
    path.write_bytes(b"abc")
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert file_hash(path) == expected


@pytest.mark.parametrize("number", ["1e999", "-1E+400", "1.5e0999", "1e309"])
def test_a_number_beyond_every_float_is_no_json(number: str) -> None:
    with pytest.raises(ValueError, match="too large"):
        parse_json(f'{{"loss": [{number}]}}')


@pytest.mark.parametrize("text", ["{}", "[{}]", '{{"loss": {}}}', '[{}, "hash"]', "{}\n", "[{}\t]"])
def test_it_is_none_wherever_it_stands(text: str) -> None:
    with pytest.raises(ValueError, match="too large"):
        parse_json(text.format("2e1000"))


def test_hashes_do_not_make_every_number_be_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes twice as long, and a file of ours has hashes in it."""
    looked: list[str] = []
    monkeypatch.setattr(files, "_CAREFUL", json.JSONDecoder(parse_float=looked.append))
    digests = [hashlib.sha256(bytes([n])).hexdigest() for n in range(256)]
    assert any(re.search(r"e\d{3}", digest) for digest in digests)
    assert parse_json(json.dumps({"hashes": digests, "loss": 0.5}))["loss"] == 0.5
    assert looked == []


@pytest.mark.parametrize(
    "number", ["1e308", "1E-999", "0e999", "1.5e+0002", "12345678901234567890"]
)
def test_a_number_that_a_float_or_int_holds_is_read(number: str) -> None:
    assert parse_json(number) == (int(number) if number.isdigit() else float(number))


def _by_python(text: str) -> object:
    """What Python's own parser makes of a text, or the class of what it raises."""

    def refuse(constant: str) -> None:
        raise ValueError(constant)

    try:
        return json.loads(text, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        return type(error)


def _by_ours(text: str) -> object:
    try:
        return parse_json(text)
    except (ValueError, RecursionError) as error:
        return type(error)


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters()),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters()), inner),
)  # fmt: skip


@given(_VALUES, st.booleans(), st.sampled_from([None, 2]))
def test_the_fast_parser_reads_what_pythons_does(
    value: object, ascii_only: bool, indent: int | None
) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    mine = _by_ours(text)
    assert repr(mine) == repr(_by_python(text))  # -0.0, 1 and 1.0, True and 1 are told apart
    assert mine == value


_SIGNS = '{}[],:"\\0123456789.-+eEunltrfas \t\n\x00é\ud800'


@given(_VALUES, st.data())
def test_a_changed_text_is_read_or_refused_as_by_python(value: object, data: st.DataObject) -> None:
    text = json.dumps(value)
    at = data.draw(st.integers(0, len(text)))
    put = data.draw(
        st.text(st.sampled_from('{}[],:"\\0123456789.-+eEunltrfas \t\n\x00é\ud800'), max_size=4)
    )
    changed = text[:at] + put + text[at + data.draw(st.integers(0, 3)) :]
    theirs = _by_python(changed)
    if repr(theirs) != repr(_by_ours(changed)):
        assert re.search(r"inf\b", repr(theirs)), changed  # 1e999, which ours refuses
