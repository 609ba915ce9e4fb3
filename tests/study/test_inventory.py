"""How many attempts a run has spent: failures and silent deaths count until it gets further."""

from pathlib import Path
from typing import Any

import pytest

from kdgap.files import json_text, read_json
from kdgap.store.record import FAILURE, TIMING, RunDirectory
from kdgap.study.inventory import give_up, spent_attempts

STOPPED: dict[str, Any] = {"ended": "stopped", "at": [0, 1]}
FAILED: dict[str, Any] = {"ended": "failed", "reason": "out of memory"}
FINISHED: dict[str, Any] = {"ended": "finished"}


def began(epoch: int = 0, step: int = 0) -> dict[str, Any]:
    return {"began": "2026-01-01T00:00:00+00:00", "host": "h", "pid": 1, "from": [epoch, step]}


@pytest.mark.parametrize(
    ("lines", "spent"),
    [
        pytest.param([], 0, id="never tried"),
        pytest.param([began()], 1, id="died once"),
        pytest.param([began()] * 3, 3, id="died three times at the start"),
        pytest.param([began(), STOPPED], 0, id="stopped"),
        pytest.param([began(), STOPPED, began(0, 1), STOPPED], 0, id="stopped twice"),
        pytest.param([began(), FAILED], 1, id="failed"),
        pytest.param([began(), FAILED, began(), FAILED], 2, id="failed twice"),
        pytest.param([began(), FAILED, began()], 2, id="failed, then died"),
        pytest.param([began(), began(), STOPPED], 1, id="a stop forgives no death before it"),
        pytest.param([began(), FINISHED], 0, id="finished"),
        pytest.param([began(), began(0, 4)], 1, id="died, went on from a later step, died"),
        pytest.param([began(), began(0, 4), STOPPED], 0, id="a death after progress costs nothing"),
        pytest.param([began(0, 7), began(1, 0)], 1, id="the next epoch is progress"),
        pytest.param([began(1, 0), began(0, 7)], 2, id="a state lost is no progress"),
        pytest.param([began()] * 4 + [began(0, 1)] * 2, 2, id="progress starts the count anew"),
        pytest.param([began(), FAILED, began(2, 3), FAILED], 1, id="failed again, but later"),
    ],
)
def test_attempts_without_progress_are_counted(lines: list[dict[str, Any]], spent: int) -> None:
    assert spent_attempts(lines) == spent


@pytest.mark.parametrize(
    ("lines", "spent"),
    [
        pytest.param([], 0, id="locked, not begun"),
        pytest.param([began()], 0, id="the first attempt goes on"),
        pytest.param([began(), began()], 1, id="died once, tried again"),
        pytest.param([began(), FAILED, began()], 1, id="failed once, tried again"),
        pytest.param([began(), FAILED], 1, id="failed, its holder not yet gone"),
        pytest.param([began(), began(0, 3)], 0, id="tried again from a later step"),
    ],
)
def test_the_attempt_that_is_going_on_is_not_spent(lines: list[dict[str, Any]], spent: int) -> None:
    assert spent_attempts(lines, held=True) == spent


def test_places_read_back_from_disk_compare_like_those_written(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path)
    for line in (began(0, 9), began(0, 10)):
        directory.note_attempt(line)
    with (tmp_path / "attempts.jsonl").open("a") as stream:
        stream.write(json_text(began(), indent=None)[:20])
    assert spent_attempts(directory.attempts()) == 1


@pytest.mark.parametrize("line", ['"x"', "1", "null", "[]", '["began"]', "\x00", "{"])
def test_lines_that_are_no_objects_are_no_attempts(tmp_path: Path, line: str) -> None:
    directory = RunDirectory(tmp_path)
    directory.note_attempt(began())
    with (tmp_path / "attempts.jsonl").open("a") as stream:
        stream.write(line + "\n")
    directory.note_attempt(began())
    assert directory.attempts() == [began(), began()]
    assert spent_attempts(directory.attempts()) == 2


def test_giving_up_leaves_a_failure_that_says_why(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path)
    give_up(directory, 3)
    assert directory.failure() == "died in 3 attempts without a word"
    assert read_json(tmp_path / TIMING) == {}


def test_giving_up_keeps_the_reason_that_is_known(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path)
    directory.fail({"reason": "out of memory"}, {"seconds": 3})
    before = (tmp_path / FAILURE).read_bytes()
    give_up(directory, 3)
    assert (tmp_path / FAILURE).read_bytes() == before
    assert read_json(tmp_path / TIMING) == {"seconds": 3}
