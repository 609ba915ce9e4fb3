"""Weights are hashed by content, carry a card, and are never unpickled."""

import json
import pickle
import struct
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor

from kdgap.errors import BadInputError, TeacherError
from kdgap.models.build import build_model
from kdgap.running.teacher import open_teacher
from kdgap.spec.model import ModelSpec
from kdgap.store.card import Card, MeasuredAccuracy, is_pickle, read_card
from kdgap.store.weights import (
    copy_state,
    read_weights,
    safetensors_bytes,
    weight_hash,
    write_weights,
)

MODEL = ModelSpec(name="resnet8", width=0.125)


def _state() -> dict[str, Tensor]:
    return {
        "conv.weight": torch.arange(144, dtype=torch.float32).reshape(4, 4, 3, 3) / 7,
        "bn.num_batches_tracked": torch.tensor(5),
        "fc.bias": torch.tensor([1.5, -2.0], dtype=torch.bfloat16),
        "empty": torch.empty(0, 3),
    }


def _card(state: dict[str, Tensor], **changes: Any) -> Card:
    fields: dict[str, Any] = {
        "model": MODEL,
        "classes": tuple("0123456789"),
        "channels": 1,
        "image_size": (8, 8),
        "mean": (0.3053,),
        "std": (0.376524,),
        "data": "digits",
        "fingerprint": "f" * 64,
        "weight_hash": weight_hash(state),
        "checkpoint": "best",
        "epoch": 3,
        "run_id": "r" * 64,
        "accuracy": MeasuredAccuracy(
            value=0.1 + 0.2,
            split_seed=1234,
            val_size=297,
            limit=None,
            precision="fp32",
            environment="here",
        ),
    }
    return Card(**(fields | changes))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "weights.safetensors"


# The hash


def test_the_hash_ignores_the_order_of_names() -> None:
    state = _state()
    assert weight_hash(dict(reversed(state.items()))) == weight_hash(state)


def test_the_hash_ignores_memory_layout() -> None:
    state = _state()
    channels_last = state["conv.weight"].to(memory_format=torch.channels_last)
    strided = torch.stack([state["conv.weight"], state["conv.weight"]], dim=-1)[..., 0]
    for other in (channels_last, strided, state["conv.weight"].requires_grad_()):
        assert weight_hash({**state, "conv.weight": other}) == weight_hash(_state())


def test_the_hash_changes_with_any_single_value() -> None:
    state = _state()
    hashes = {weight_hash(state)}
    for name in ("conv.weight", "bn.num_batches_tracked", "fc.bias"):
        for index in range(state[name].numel()):
            changed = _state()
            changed[name].view(-1)[index] += 1
            hashes.add(weight_hash(changed))
    assert len(hashes) == 1 + 144 + 1 + 2


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("renamed", torch.zeros(2, 3)),
        ("w", torch.zeros(3, 2)),
        ("w", torch.zeros(6)),
        ("w", torch.zeros(2, 3, dtype=torch.int32)),
        ("w", torch.zeros(2, 3, dtype=torch.float64)),
        ("w", -torch.zeros(2, 3)),
    ],
)
def test_the_hash_changes_with_name_shape_and_type(name: str, other: Tensor) -> None:
    assert weight_hash({name: other}) != weight_hash({"w": torch.zeros(2, 3)})


def test_the_hash_changes_when_a_tensor_is_added_or_removed() -> None:
    state = _state()
    without = {name: tensor for name, tensor in state.items() if name != "empty"}
    assert weight_hash(without) != weight_hash(state)


def test_a_copied_state_does_not_follow_its_module() -> None:
    module = torch.nn.Linear(3, 2)
    copied = copy_state(module)
    before = weight_hash(copied)
    with torch.no_grad():
        module.weight.add_(1)
    assert weight_hash(copied) == before
    assert weight_hash(copy_state(module)) != before


# Round trip


def test_weights_and_card_come_back_as_they_were_written(path: Path) -> None:
    state = _state()
    write_weights(path, state, _card(state))
    tensors, card = read_weights(path)
    assert card == _card(state)
    assert {n: t.dtype for n, t in tensors.items()} == {n: t.dtype for n, t in state.items()}
    assert all(torch.equal(tensors[name], state[name]) for name in state)


def test_equal_weights_make_equal_files() -> None:
    state = _state()
    layout = state["conv.weight"].to(memory_format=torch.channels_last)
    other = {**state, "conv.weight": layout}
    assert safetensors_bytes(other, _card(other)) == safetensors_bytes(state, _card(state))


@pytest.mark.parametrize("name", [n for n in _state() if n != "empty"])
def test_weights_that_are_not_the_cards_are_refused(path: Path, name: str) -> None:
    state = _state()
    card = _card(state)
    state[name] = state[name] + 1
    write_weights(path, state, card)
    with pytest.raises(TeacherError, match="changed after it was written"):
        read_weights(path)


def test_weights_without_a_card_are_refused_with_the_way_out(path: Path) -> None:
    from safetensors.torch import save_file

    save_file(_state(), path)
    with pytest.raises(TeacherError, match=r"no card.*kdgap convert"):
        read_weights(path)


@pytest.mark.parametrize(
    "card",
    [
        "",
        "{}",
        "[]",
        "null",
        "[" * 100_000,
        '{"format": 2}',
        '{"format": NaN}',
        json.dumps({**json.loads(_card({}).model_dump_json()), "surprise": 1}),
        json.dumps({**json.loads(_card({}).model_dump_json()), "format": 2}),
    ],
)
def test_a_bad_card_is_refused(path: Path, card: str) -> None:
    from safetensors.torch import save_file

    save_file(_state(), path, {"kdgap": card})
    with pytest.raises(TeacherError, match="bad card"):
        read_card(path)


@pytest.mark.parametrize(
    "changes",
    [
        {"channels": -1},
        {"channels": 0},
        {"channels": 10**12},
        {"classes": ()},
        {"classes": ("only",)},
        {"image_size": (0, 0)},
        {"image_size": (-8, -8)},
        {"model": ModelSpec(name="resnet9")},
        {"model": ModelSpec(name="resnet8", width=0.001)},
        {"model": ModelSpec(name="resnet14", width=0.125)},
        {"model": ModelSpec(name="resnet8", stem="imagenet")},
    ],
)
def test_a_card_that_describes_no_such_network_is_refused(
    path: Path, changes: dict[str, Any]
) -> None:
    state = copy_state(build_model(MODEL, 10, 1, (8, 8), 0))
    write_weights(path, state, _card(state).model_copy(update=changes))
    with pytest.raises(BadInputError):
        open_teacher(path, None, unmeasured=True)


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.int32, torch.bool])
def test_tensors_of_another_type_than_the_networks_are_refused(
    path: Path, dtype: torch.dtype
) -> None:
    state = copy_state(build_model(MODEL, 10, 1, (8, 8), 0))
    state["fc.bias"] = torch.zeros(10).to(dtype)
    write_weights(path, state, _card(state))
    with pytest.raises(TeacherError, match=r"fc\.bias"):
        open_teacher(path, None, unmeasured=True)


def test_weights_that_are_not_finite_are_refused(path: Path) -> None:
    state = copy_state(build_model(MODEL, 10, 1, (8, 8), 0))
    state["fc.bias"][3] = float("nan")
    write_weights(path, state, _card(state))
    with pytest.raises(TeacherError, match=r"'fc\.bias' holds NaN"):
        open_teacher(path, None, unmeasured=True)


# Hostile files


def _file(header: object, data: bytes = b"") -> bytes:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(raw)) + raw + data


TENSOR: dict[str, Any] = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
HOSTILE = {
    "empty": b"",
    "shorter than a length": b"\x01\x02",
    "no header": struct.pack("<Q", 0),
    "header of 2^64 bytes": b"\xff" * 16,
    "header of 2^63 bytes": struct.pack("<Q", 2**63) + b"{}",
    "header just over the limit": struct.pack("<Q", 100_000_001) + b"{}",
    "header longer than the file": struct.pack("<Q", 1000) + b"{}",
    "garbage": _file(b"\x93" * 40),
    "header is a list": _file([1, 2]),
    "header is null": _file(b"null"),
    "header nested deep": _file(b'{"a":' * 100_000),
    "broken surrogate": _file(b'{"\\ud800": 1}'),
    "metadata is no text": _file({"__metadata__": {"kdgap": 3}, "a": TENSOR}, bytes(8)),
    "offsets overlap": _file({"a": TENSOR, "b": TENSOR}, bytes(8)),
    "offsets backwards": _file({"a": {**TENSOR, "data_offsets": [8, 0]}}, bytes(8)),
    "offsets negative": _file({"a": {**TENSOR, "data_offsets": [-8, 0]}}, bytes(8)),
    "offsets beyond the file": _file({"a": {**TENSOR, "data_offsets": [0, 1000]}}, bytes(8)),
    "unclaimed bytes": _file({"a": TENSOR}, bytes(80)),
    "data missing": _file({"a": TENSOR}, bytes(4)),
    "shape overflows": _file({"a": {**TENSOR, "shape": [2**62, 2**62]}}, bytes(8)),
    "unknown type": _file({"a": {**TENSOR, "dtype": "EVIL"}}, bytes(8)),
    "type torch does not have": _file(
        {"a": {"dtype": "F6_E2M3", "shape": [4], "data_offsets": [0, 3]}}, bytes(3)
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_refused(path: Path, name: str) -> None:
    path.write_bytes(HOSTILE[name])
    for read in (read_card, read_weights):
        with pytest.raises(TeacherError, match=path.name) as caught:
            read(path)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("share", [0.01, 0.3, 0.9, 0.999])
def test_a_truncated_file_is_refused(path: Path, share: float) -> None:
    state = _state()
    content = safetensors_bytes(state, _card(state))
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(TeacherError, match="not a safetensors file"):
        read_weights(path)


def test_a_folder_and_a_missing_file_are_refused(tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "nowhere.safetensors"):
        with pytest.raises(TeacherError, match=place.name):
            read_weights(place)


# Pickles


class _Hostile:
    """Unpickling it makes a file."""

    def __init__(self, mark: Path) -> None:
        self._mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return (open, (str(self._mark), "w"))


def test_the_hostile_pickle_works(tmp_path: Path) -> None:
    mark = tmp_path / "executed"
    pickle.loads(pickle.dumps(_Hostile(mark))).close()
    assert mark.exists()


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("suffix", [".safetensors", ".pth", ".pt", ".bin", ".weights", ""])
def test_a_pickle_under_any_name_is_refused_and_never_executed(
    tmp_path: Path, suffix: str, protocol: int
) -> None:
    path, mark = tmp_path / f"weights{suffix}", tmp_path / "executed"
    path.write_bytes(pickle.dumps({"model": _Hostile(mark)}, protocol))
    for read in (read_card, read_weights):
        with pytest.raises(TeacherError):
            read(path)
    assert not mark.exists()


@pytest.mark.parametrize("suffix", [".safetensors", ".pth", ""])
@pytest.mark.parametrize("zipped", [True, False])
def test_a_torch_checkpoint_is_refused_with_the_way_out(
    tmp_path: Path, suffix: str, zipped: bool
) -> None:
    path = tmp_path / f"weights{suffix}"
    torch.save(_state(), path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(TeacherError, match="kdgap convert"):
        read_weights(path)


def test_a_header_whose_length_looks_like_a_pickle_is_read(tmp_path: Path) -> None:
    # The first byte of the file is the length of its header: 0x80 once in 32 files.
    for padding in range(40):
        content = safetensors.torch.save({"x" * (60 + padding): torch.zeros(2)})
        path = tmp_path / "weights.safetensors"
        path.write_bytes(content)
        if content[0] == 0x80:
            with path.open("rb") as stream:
                assert not is_pickle(stream)
            return
    pytest.fail("no header of that length was made")
