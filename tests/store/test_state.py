"""A state is read back exactly or passed over; whatever breaks, the one before it is there."""

import json
from collections.abc import Iterable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from kdgap import disk
from kdgap.files import write_json
from kdgap.store import state as state_module
from kdgap.store.seal import checksum
from kdgap.store.state import Snapshot, StateFiles, newest_place

RUN_ID = "a" * 64


def snapshot(step: int) -> Snapshot:
    generator = torch.Generator().manual_seed(step)
    tensors = {
        "network.weight": torch.randn(4, 3, 2, generator=generator),
        "network.count": torch.tensor(step),
        "momentum.0": torch.randn(5, generator=generator).bfloat16(),
        "meter": torch.empty(0, 3),
    }
    facts = {"step": step, "history": [{"epoch": 1, "val_acc": 0.5}], "best": None, "name": "é"}
    return Snapshot(tensors, facts)


def same(first: Snapshot | None, second: Snapshot) -> bool:
    def equal(a: Tensor, b: Tensor) -> bool:
        return a.dtype == b.dtype and torch.equal(a, b)

    return (
        first is not None
        and first.facts == second.facts
        and first.tensors.keys() == second.tensors.keys()
        and all(equal(first.tensors[name], second.tensors[name]) for name in second.tensors)
    )


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def files_of(*numbers: int) -> list[str]:
    return sorted(f"state-{n:06d}.{suffix}" for n in numbers for suffix in ("json", "safetensors"))


def reopened(folder: Path) -> StateFiles:
    """What a new process sees."""
    return StateFiles(folder, RUN_ID)


@pytest.fixture
def two(tmp_path: Path) -> Path:
    """A folder with the states of steps 1 and 2."""
    states = StateFiles(tmp_path, RUN_ID)
    for step in (1, 2):
        states.write(snapshot(step))
    assert names(tmp_path) == files_of(1, 2)
    return tmp_path


def positions(size: int, count: int = 60) -> list[int]:
    """Places spread over a file: both ends, and evenly between."""
    return sorted({*range(0, size, max(1, size // count)), *range(min(4, size)), size - 2})


def test_a_folder_without_a_state_has_none_and_no_problem(tmp_path: Path) -> None:
    states = reopened(tmp_path)
    assert states.read() is None
    assert states.problems == []


def test_a_state_reads_back_bit_for_bit_with_the_types_it_had(tmp_path: Path) -> None:
    reopened(tmp_path).write(snapshot(1))
    states = reopened(tmp_path)
    assert same(states.read(), snapshot(1))
    assert states.problems == []


def test_the_newest_and_the_one_before_are_kept_and_never_more(tmp_path: Path) -> None:
    states = reopened(tmp_path)
    for step in range(1, 13):
        states.write(snapshot(step))
        assert names(tmp_path) == files_of(*range(max(1, step - 1), step + 1))
        assert same(reopened(tmp_path).read(), snapshot(step))


def test_more_than_a_million_states_are_still_in_order(two: Path) -> None:
    for suffix in ("json", "safetensors"):
        (two / f"state-000002.{suffix}").unlink()
    state = json.loads((two / "state-000001.json").read_text()) | {"number": 999_999}
    state["checksum"] = checksum(state)
    write_json(two / "state-999999.json", state)
    (two / "state-000001.safetensors").rename(two / "state-999999.safetensors")
    states = reopened(two)
    states.read()
    states.write(snapshot(7))
    assert names(two) == files_of(999_999, 1_000_000)
    assert same(reopened(two).read(), snapshot(7))


# Damage


@pytest.mark.parametrize("suffix", ["json", "safetensors"])
def test_a_newest_state_cut_short_anywhere_costs_only_itself(two: Path, suffix: str) -> None:
    path = two / f"state-000002.{suffix}"
    content = path.read_bytes()
    # Without its last byte, a newline, the JSON says the same.
    for length in positions(len(content)):
        path.write_bytes(content[:length])
        states = reopened(two)
        assert same(states.read(), snapshot(1)), length
        assert len(states.problems) == 1
        assert path.name in states.problems[0]


@pytest.mark.parametrize("suffix", ["json", "safetensors"])
def test_one_flipped_bit_anywhere_in_the_newest_state_costs_only_itself(
    two: Path, suffix: str
) -> None:
    path = two / f"state-000002.{suffix}"
    content = path.read_bytes()
    for index, place in enumerate(positions(len(content), 150)):
        flipped = bytearray(content)
        flipped[place] ^= 1 << index % 8
        path.write_bytes(flipped)
        states = reopened(two)
        assert same(states.read(), snapshot(1)), (place, index % 8)
        assert len(states.problems) == 1
        assert path.name in states.problems[0]


@pytest.mark.parametrize("suffix", ["json", "safetensors"])
def test_a_newest_state_with_bytes_appended_is_passed_over(two: Path, suffix: str) -> None:
    path = two / f"state-000002.{suffix}"
    path.write_bytes(path.read_bytes() + b"{}")
    assert same(reopened(two).read(), snapshot(1))


@pytest.mark.parametrize("text", ["", "[]", "null", "3", "{}", "NaN", '{"checksum": "0"}', "\x00"])
def test_a_json_file_that_is_no_state_is_passed_over(two: Path, text: str) -> None:
    (two / "state-000002.json").write_text(text)
    states = reopened(two)
    assert same(states.read(), snapshot(1))
    assert len(states.problems) == 1


def test_edited_facts_are_not_believed(two: Path) -> None:
    path = two / "state-000002.json"
    path.write_text(path.read_text().replace('"val_acc": 0.5', '"val_acc": 0.9'))
    states = reopened(two)
    assert same(states.read(), snapshot(1))
    assert "checksum" in states.problems[0]


def test_tensors_of_the_previous_state_under_the_newest_name_are_not_believed(two: Path) -> None:
    content = (two / "state-000001.safetensors").read_bytes()
    (two / "state-000002.safetensors").write_bytes(content)
    states = reopened(two)
    assert same(states.read(), snapshot(1))
    assert "state-000002.safetensors" in states.problems[0]


def test_with_both_states_damaged_there_is_none_and_each_is_named_newest_first(two: Path) -> None:
    (two / "state-000002.json").write_text("{")
    (two / "state-000001.safetensors").unlink()
    states = reopened(two)
    assert states.read() is None
    assert ["state-00000" in problem for problem in states.problems] == [True, True]
    assert "state-000002.json" in states.problems[0]
    assert "state-000001.safetensors" in states.problems[1]


def test_a_damaged_newest_state_is_replaced_under_a_new_number(two: Path) -> None:
    (two / "state-000002.safetensors").write_bytes(b"")
    states = reopened(two)
    states.read()
    states.write(snapshot(3))
    assert names(two) == files_of(1, 3)
    (two / "state-000003.json").write_text("{")
    assert same(reopened(two).read(), snapshot(1))


def test_after_damage_to_every_state_numbers_still_grow(two: Path) -> None:
    for path in two.glob("*.json"):
        path.write_text("{")
    states = reopened(two)
    assert states.read() is None
    states.write(snapshot(9))
    assert names(two) == files_of(3)
    assert same(reopened(two).read(), snapshot(9))


# What is no state of this run


def test_a_state_of_another_run_is_not_read(two: Path) -> None:
    states = StateFiles(two, "b" * 64)
    assert states.read() is None
    assert [problem.split(": ")[1] for problem in states.problems] == [
        f"belongs to run {RUN_ID[:12]}"
    ] * 2


def test_a_state_of_another_format_is_not_read(two: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(state_module, "FORMAT", 2)
        newer = reopened(two)
        newer._good = [1]
        newer.write(snapshot(3))
    states = reopened(two)
    assert same(states.read(), snapshot(1))
    assert states.problems == [f"{two / 'state-000003.json'}: format 2, expected 1"]


def test_tensors_without_the_json_that_commits_them_are_no_state(two: Path) -> None:
    (two / "state-000002.json").unlink()
    states = reopened(two)
    assert same(states.read(), snapshot(1))
    assert states.problems == []


def test_a_left_over_temporary_file_is_no_state(two: Path) -> None:
    for suffix in ("json", "safetensors"):
        content = (two / f"state-000002.{suffix}").read_bytes()
        (two / f".tmp-77-state-000003.{suffix}").write_bytes(content)
        (two / f"state-000002.{suffix}").unlink()
    states = reopened(two)
    assert same(states.read(), snapshot(1))
    assert states.problems == []


def test_clear_removes_every_state_even_damaged_ones_and_nothing_else(two: Path) -> None:
    (two / "state-000002.json").write_text("{")
    (two / "state-000009.safetensors").write_bytes(b"torn")
    (two / "history.jsonl").write_text("")
    states = reopened(two)
    states.clear()
    assert names(two) == ["history.jsonl"]
    assert states.read() is None
    states.write(snapshot(1))
    assert names(two) == sorted(["history.jsonl", *files_of(1)])


# A full disk


class FullDisk:
    """Every sync and rename fails from the k-th on, counted from 1."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, first: int) -> None:
        self.first, self.calls = first, 0
        sync, rename = disk.current.sync, disk.current.rename

        def full_fsync(handle: int) -> None:
            self._count()
            sync(handle)

        def full_replace(source: Path, target: Path) -> None:
            self._count()
            rename(source, target)

        monkeypatch.setattr(disk.current, "sync", full_fsync)
        monkeypatch.setattr(disk.current, "rename", full_replace)

    def _count(self) -> None:
        self.calls += 1
        if self.calls >= self.first:
            raise OSError(28, "No space left on device")


def _failing_writes(
    folder: Path, states: StateFiles, monkeypatch: pytest.MonkeyPatch
) -> Iterable[int]:
    """Try to write step 3 onto a disk that is full from the k-th call on, for every k."""
    for first in range(1, 99):
        with monkeypatch.context() as patch:
            disk = FullDisk(patch, first)
            try:
                states.write(snapshot(3))
            except OSError:
                assert disk.calls == first
            else:
                assert disk.calls == first - 1
                return
        assert not list(folder.glob(".tmp-*"))
        yield first


def test_a_write_that_fails_anywhere_leaves_the_state_before_it(
    two: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    states = reopened(two)
    states.read()
    tried = []
    for first in _failing_writes(two, states, monkeypatch):
        tried.append(first)
        files = reopened(two)
        # Only after its JSON has its name is the new state there: then just the last sync failed.
        assert same(files.read(), snapshot(2 if first < 6 else 3)), first
        assert files.problems == []
    assert tried == [1, 2, 3, 4, 5, 6]  # sync, rename and sync of the folder, for two files
    assert same(reopened(two).read(), snapshot(3))


def test_after_a_failed_write_the_next_one_keeps_the_last_good_state(
    two: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    states = reopened(two)
    states.read()
    for first in _failing_writes(two, states, monkeypatch):
        if first == 5:
            break
    states.write(snapshot(4))
    newest = max(names(two))
    (two / newest).write_bytes(b"torn")
    assert same(reopened(two).read(), snapshot(2))


# Killed


@pytest.mark.parametrize("unlinked", range(4))
def test_a_crash_while_old_states_are_dropped_leaves_the_newest(
    two: Path, monkeypatch: pytest.MonkeyPatch, unlinked: int
) -> None:
    states, unlink, left = reopened(two), disk.current.unlink, iter(range(unlinked))
    states.read()
    (two / "state-000000.json").write_text("{")
    (two / "state-000000.safetensors").write_bytes(b"")

    def dying_unlink(path: Path) -> None:
        if next(left, None) is None:
            raise KeyboardInterrupt
        unlink(path)

    with monkeypatch.context() as patch:
        patch.setattr(disk.current, "unlink", dying_unlink)
        with pytest.raises(KeyboardInterrupt):
            states.write(snapshot(3))
    files = reopened(two)
    assert same(files.read(), snapshot(3))
    files.write(snapshot(4))
    assert names(two) == files_of(3, 4)


@pytest.mark.parametrize("damage", ["1e999", "[" * 900 + "]" * 900])
def test_numbers_and_depths_that_no_state_has_are_passed_over(tmp_path: Path, damage: str) -> None:
    states = StateFiles(tmp_path, RUN_ID)
    states.write(Snapshot({"x": torch.zeros(2)}, {"n": 1}))
    states.write(Snapshot({"x": torch.ones(2)}, {"n": 2}))
    newest = max(tmp_path.glob("state-*.json"))
    newest.write_text(newest.read_text().replace('"n": 2', f'"n": {damage}'))
    state = StateFiles(tmp_path, RUN_ID).read()
    assert state is not None
    assert state.facts == {"n": 1}


@pytest.mark.parametrize("facts", ['{"epoch": "x", "step": 1}', "[]", '{"epoch": 1}', "null"])
def test_a_state_that_says_no_place_has_none(tmp_path: Path, facts: str) -> None:
    (tmp_path / "state-000001.json").write_text(f'{{"facts": {facts}}}')
    assert newest_place(tmp_path) is None
