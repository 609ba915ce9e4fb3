"""Whatever holds exactly one set of tensors that fits is converted; two sets are named."""

import argparse
import io
import pickle
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from kdgap.errors import BadInputError
from kdgap.models.build import build_model
from kdgap.running.conversion import _choose, _contents
from kdgap.running.fitting import remarks
from kdgap.spec.model import ModelSpec
from kdgap.store.checkpoint import others_in, tensors_in
from kdgap.store.stored_tensor import Contents, StoredTensor
from kdgap.store.tensorfile import read_header
from kdgap.store.unpickle import read_checkpoint

MODEL = ModelSpec(name="resnet8", width=0.25)
State = dict[str, Tensor]


def network(model: ModelSpec = MODEL, seed: int = 0) -> nn.Module:
    return build_model(model, 10, 3, (32, 32), seed)


def state(model: ModelSpec = MODEL, seed: int = 0) -> State:
    return {name: tensor.clone() for name, tensor in network(model, seed).state_dict().items()}


def prefixed(prefix: str, tensors: State) -> State:
    return {prefix + name: tensor for name, tensor in tensors.items()}


class Taken:
    """What was taken of a checkpoint, in this process: listing it in a child is tested apart."""

    def __init__(self, path: Path, take: str | None = None, model: ModelSpec = MODEL) -> None:
        own = network(model).state_dict()
        with path.open("rb") as stream:
            if path.suffix == ".safetensors":
                contents = _contents(path, stream)
            else:
                loaded = read_checkpoint(stream)
                tensors = list(tensors_in(loaded))
                rows = [StoredTensor.of(tensor.row()) for tensor in tensors]
                contents = Contents(tuple(rows), tuple(others_in(loaded, tensors)))
            chosen, self.state = _choose(path, stream, contents, own, take)
        self.remarks = remarks(chosen, contents, {name: t.dtype for name, t in own.items()})

    def remarks_of(self, kind: str) -> str:
        return "; ".join(line for line in self.remarks if line.startswith(kind))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "checkpoint.pth"


def same(actual: State, wanted: State) -> bool:
    return actual.keys() == wanted.keys() and all(
        actual[name].dtype == wanted[name].dtype and torch.equal(actual[name], wanted[name])
        for name in wanted
    )


# Names

PREFIXES = ("", "_orig_mod.", "module.", "model.", "module._orig_mod.", "_orig_mod.module.",
            "model._orig_mod.module.", "net.", "student.backbone.", "0.")  # fmt: skip


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("prefix", PREFIXES)
def test_prefixes_in_any_order_are_taken_off(tmp_path: Path, prefix: str, suffix: str) -> None:
    path, content = tmp_path / f"c{suffix}", prefixed(prefix, state())
    (save_file if suffix == ".safetensors" else torch.save)(content, path)
    taken = Taken(path)
    assert same(taken.state, state())
    assert bool(taken.remarks_of("renamed")) == bool(prefix)
    assert not taken.remarks_of("left")


def test_a_wrapper_around_a_part_of_the_network_is_taken_off(path: Path) -> None:
    content = {
        name.replace("layer1.", "layer1._orig_mod.").replace("fc.", "fc.module."): tensor
        for name, tensor in state().items()
    }
    torch.save({"model": prefixed("module.", content)}, path)
    assert same(Taken(path).state, state())


@pytest.mark.parametrize("name", ["model", "model.module", "module", "model.", ""])
def test_a_tensor_with_the_name_of_a_prefix_is_left(path: Path, name: str) -> None:
    torch.save(prefixed("model.", state()) | {name: torch.ones(1)}, path)
    assert same(Taken(path).state, state())


def test_a_wrapper_around_a_part_outside_the_network_is_taken_off(path: Path) -> None:
    content = {
        f"backbone.{'' if 'fc' in name else 'module.'}{name}": t for name, t in state().items()
    }
    torch.save(content, path)
    assert same(Taken(path).state, state())


KEYS = ("state_dict", "model_state_dict", "state_dict_ema", "model_ema", "ema", "shadow", "net",
        "network", "weights", "params", "teacher")  # fmt: skip


@pytest.mark.parametrize("key", KEYS)
def test_states_under_any_key_are_found(path: Path, key: str) -> None:
    torch.save({"epoch": 3, key: state(), "best": None}, path)
    taken = Taken(path)
    assert same(taken.state, state())
    assert taken.remarks_of("took") == f"took: {len(state())} tensors from {key}"
    assert taken.remarks_of("left") == "left: epoch, best"


@pytest.mark.parametrize(
    "wrap",
    [
        lambda s: {"a": {"b": {"c": {"d": s}}}},
        lambda s: [{"epoch": 1}, s],
        lambda s: ({"x": [None, (s,)]}, 3),
        lambda s: OrderedDict(nested=OrderedDict(s)),
        lambda s: {"model": {n.split(".")[0]: {} for n in s} | {"all": s}},
        lambda s: [list(s.items()), dict(s)],
    ],
)
def test_several_levels_and_lists_are_searched(path: Path, wrap: Any) -> None:
    torch.save(wrap(state()), path)
    assert same(Taken(path).state, state())


def test_nested_modules_as_nested_dictionaries_are_one_state(path: Path) -> None:
    nested: dict[str, Any] = {}
    for name, tensor in state().items():
        *way, last = name.split(".")
        place = nested
        for part in way:
            place = place.setdefault(part, {})
        place[last] = tensor
    torch.save({"params": nested}, path)
    assert same(Taken(path).state, state())


# Checkpoints of the field


def test_a_lightning_checkpoint_leaves_what_is_not_the_network(path: Path) -> None:
    content = {
        "epoch": 1,
        "pytorch-lightning_version": "2.4.0",
        "callbacks": {"ModelCheckpoint{'monitor': None}": {"best": torch.tensor(0.9)}},
        "optimizer_states": [{"state": {0: {"exp_avg": torch.ones(4)}}}],
        "hyper_parameters": argparse.Namespace(lr=0.1),
        "state_dict": {
            **prefixed("student.", state()),
            "criterion.weight": torch.ones(10),
            "train_acc.tp": torch.zeros(1),
            "fc_aux.weight": torch.zeros(3),
        },
    }
    torch.save(content, path)
    taken = Taken(path)
    assert same(taken.state, state())
    left = taken.remarks_of("left")
    for name in ("criterion", "train_acc", "optimizer_states", "callbacks", "hyper_parameters"):
        assert name in left
    assert "argparse.Namespace" in left


def test_an_averaged_model_and_a_trainer_s_ema_are_taken(path: Path) -> None:
    averaged = torch.optim.swa_utils.AveragedModel(network())
    torch.save(averaged.state_dict(), path)
    assert same(Taken(path).state, state())
    counts = {n: t.float() + 0.4 for n, t in state().items() if n.endswith("batches_tracked")}
    torch.save({"decay": 0.99, "shadow": state() | counts}, path)
    taken = Taken(path)
    assert same(taken.state, state())
    assert "float32 to int64" in taken.remarks_of("cast")


def test_a_whole_module_is_read_without_making_one(path: Path) -> None:
    for module in (network(), nn.DataParallel(network())):
        torch.save({"model": module, "best": 0.9}, path)
        assert same(Taken(path).state, state())


def test_an_archive_of_torchscript_is_read(path: Path) -> None:
    class Wrapped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))

        def forward(self, x: Tensor) -> Tensor:
            return self.net(x)  # type: ignore[no-any-return]

    module = Wrapped().eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.trace(module, torch.ones(1, 3, 8, 8)), str(path))
    with path.open("rb") as stream:
        names = {".".join(t.path) for t in tensors_in(read_checkpoint(stream))}
    assert names >= set(module.state_dict())


@dataclass
class Settings:
    """What many trainers keep beside their weights."""

    rate: float = 0.1
    extra: dict[str, Any] = field(default_factory=dict)


BESIDE: list[Any] = [
    np.float64(91.3),
    np.array([1.0, 2.0]),
    np.arange(3) > 1,
    argparse.Namespace(lr=0.1, wd=None),
    Settings(),
    Path("/data"),
    {1, 2},
    torch.float16,
    torch.device("cpu"),
    torch.Size([1]),
    np.random.RandomState(0).get_state(),
    torch.get_rng_state(),
    slice(1, 2),
    complex(1, 2),
    Settings,
]


@pytest.mark.parametrize("beside", BESIDE, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize("zipped", [True, False])
def test_settings_and_numbers_beside_the_weights_are_left(
    path: Path, beside: Any, zipped: bool
) -> None:
    content = {"model": state(), "beside": beside}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    taken = Taken(path)
    assert same(taken.state, state())
    assert "beside" in taken.remarks_of("left")


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_plain_pickles_of_tensors_and_of_arrays_are_read(path: Path, protocol: int) -> None:
    path.write_bytes(pickle.dumps({"model": state()}, protocol))
    assert same(Taken(path).state, state())
    arrays = {name: np.array(tensor.numpy(), order="F") for name, tensor in state().items()}
    path.write_bytes(pickle.dumps(arrays, protocol))
    assert same(Taken(path).state, state())


@pytest.mark.parametrize("zipped", [True, False])
def test_parameters_views_and_layouts_come_back_as_they_are(path: Path, zipped: bool) -> None:
    content: dict[str, Any] = dict(state())
    kernels = [name for name in content if content[name].ndim == 4]
    content[kernels[0]] = nn.Parameter(content[kernels[0]])
    content[kernels[1]] = content[kernels[1]].to(memory_format=torch.channels_last)
    content[kernels[2]] = content[kernels[2]].permute(3, 2, 1, 0).contiguous().permute(3, 2, 1, 0)
    longer = torch.cat([torch.ones(7), content["fc.weight"].flatten()])
    content["fc.weight"] = nn.Parameter(longer[7:].view(10, -1))
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    assert same(Taken(path).state, state())


# Types


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_floats_become_float32_and_it_is_said(path: Path, dtype: torch.dtype) -> None:
    low = {n: t.to(dtype) if t.is_floating_point() else t for n, t in state().items()}
    torch.save(low, path)
    taken = Taken(path)
    assert same(taken.state, {n: t.float() if t.is_floating_point() else t for n, t in low.items()})
    floats = sum(tensor.is_floating_point() for tensor in low.values())
    name = str(dtype).removeprefix("torch.")
    assert taken.remarks_of("cast") == f"cast: {floats} tensors from {name} to float32"


def test_missing_counters_are_filled_and_present_ones_kept(path: Path) -> None:
    content = {n: t + 7 if n.endswith("tracked") else t for n, t in state().items()}
    torch.save(content, path)
    assert same(Taken(path).state, content)
    torch.save({n: t for n, t in content.items() if not n.endswith("tracked")}, path)
    taken = Taken(path)
    assert same(taken.state, state())
    assert "filled: 7 batch counters" in taken.remarks_of("filled")


def test_counters_of_another_integer_are_kept(path: Path) -> None:
    content = {n: (t + 7).int() if n.endswith("tracked") else t for n, t in state().items()}
    torch.save(content, path)
    assert int(Taken(path).state["bn1.num_batches_tracked"]) == 7


def test_weights_in_integers_are_refused(path: Path) -> None:
    torch.save(state() | {"fc.weight": torch.ones(10, 16, dtype=torch.int8)}, path)
    with pytest.raises(BadInputError, match=r"'fc\.weight' is of the type I8"):
        Taken(path)


# More than one set, or none


def test_two_sets_are_named_with_the_way_to_choose(path: Path) -> None:
    torch.save({"model": state(), "ema": {"module": state(seed=1)}, "epoch": 3}, path)
    with pytest.raises(BadInputError, match=r"2 sets .* model, ema\.module; .*--take model"):
        Taken(path)
    assert same(Taken(path, "model").state, state())
    taken = Taken(path, "ema.module")
    assert same(taken.state, state(seed=1))
    assert f"{len(state())} tensors of model" in taken.remarks_of("left")
    with pytest.raises(BadInputError, match=r"--take nothing: .* holds model, ema\.module"):
        Taken(path, "nothing")


def test_two_sets_in_one_dictionary_are_told_apart_by_their_wrappers(path: Path) -> None:
    torch.save(state() | prefixed("_orig_mod.", state(seed=1)), path)
    with pytest.raises(BadInputError, match=r"2 sets .* \., _orig_mod;"):
        Taken(path)
    assert same(Taken(path, ".").state, state())
    assert same(Taken(path, "_orig_mod").state, state(seed=1))


def test_one_set_that_is_there_twice_is_one(path: Path) -> None:
    tensors = state()
    torch.save(
        {"model": tensors, "best": {n: t.clone() for n, t in tensors.items()}, "again": tensors},
        path,
    )
    assert same(Taken(path).state, tensors)


def test_a_student_and_its_teacher_are_told_apart_by_their_architecture(path: Path) -> None:
    teacher = ModelSpec(name="resnet14", width=0.25)
    torch.save(prefixed("student.", state()) | prefixed("teacher.", state(teacher)), path)
    assert same(Taken(path).state, state())
    assert same(Taken(path, model=teacher).state, state(teacher))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (state(ModelSpec(name="resnet14", width=0.25)), "unexpected tensor 'layer1.1"),
        (prefixed("net.", state(ModelSpec(name="resnet14", width=0.25))), "unexpected tensor"),
        (state() | {"layer4.0.conv1.weight": torch.ones(1)}, "unexpected tensor 'layer4"),
        (state(ModelSpec(name="resnet8", width=0.5)), "expected"),
        ({n: t for n, t in state().items() if n != "fc.bias"}, "'fc.bias' is missing"),
        ({n: t for n, t in state().items() if "running_var" not in n}, "running_var' is missing"),
        ({"features.0.weight": torch.ones(3)}, "it holds 1, such as 'features.0.weight'"),
        ({"lr": 0.1}, "missing"),
        (torch.ones(3), "missing"),
        (None, "missing"),
        (state() | {"module.fc.bias": torch.ones(10), "fc.bias": torch.ones(3)}, "fc.bias"),
    ],
)
def test_what_is_no_set_says_why(path: Path, content: Any, says: str) -> None:
    torch.save(content, path)
    with pytest.raises(BadInputError, match=r"wrong architecture|twice") as caught:
        Taken(path)
    assert says in str(caught.value)


# Small files, large bills


def expanded(tensors: State) -> State:
    return {n: torch.zeros(1).expand(t.shape) if t.ndim else t for n, t in tensors.items()}


def overlapping(tensors: State) -> State:
    """Return views of one storage in place of tensors."""
    flat = torch.randn(max(tensor.numel() for tensor in tensors.values()))
    return {n: flat[: t.numel()].view(t.shape) if t.ndim else t for n, t in tensors.items()}


@pytest.mark.parametrize("small", [expanded, overlapping])
def test_tensors_that_repeat_one_storage_are_refused_before_they_are_made(
    path: Path, monkeypatch: pytest.MonkeyPatch, small: Callable[[State], State]
) -> None:
    wide = ModelSpec(name="resnet8", width=4)
    torch.save(small(state(wide)), path)
    monkeypatch.setattr("kdgap.running.conversion._tensor", lambda *_: pytest.fail("one was made"))
    with pytest.raises(BadInputError, match="share or repeat"):
        Taken(path, model=wide)


def test_tensors_that_no_network_has_are_never_read(path: Path) -> None:
    huge = torch.zeros(1).expand(2**38)
    torch.save({"model": state(), "huge": huge, "more": [huge] * 100}, path)
    assert same(Taken(path).state, state())


def test_a_storage_that_is_cut_short_is_named(path: Path) -> None:
    stream = io.BytesIO()
    torch.save(state(), stream)
    with zipfile.ZipFile(stream) as old, zipfile.ZipFile(path, "w") as new:
        for record in old.infolist():
            content = old.read(record)
            new.writestr(
                record.filename, content[:-4] if record.filename.endswith("data/0") else content
            )
    with pytest.raises(BadInputError, match=r"'conv1\.weight' is cut short"):
        Taken(path)


def test_a_compressed_archive_is_refused_unopened(path: Path) -> None:
    stream = io.BytesIO()
    torch.save(state(), stream)
    with (
        zipfile.ZipFile(stream) as old,
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for record in old.infolist():
            new.writestr(record.filename, old.read(record))
    with path.open("rb") as opened, pytest.raises(ValueError, match="compressed"):
        read_checkpoint(opened)


def test_the_header_of_safetensors_is_the_bound_there_too(tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    path.write_bytes(b"\xff" * 7 + b"\x00" + b"{}")
    with path.open("rb") as stream, pytest.raises(ValueError, match="at most"):
        read_header(stream)
    with pytest.raises(BadInputError, match="not a safetensors file"):
        Taken(path)
