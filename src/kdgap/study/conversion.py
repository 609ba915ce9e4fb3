"""A checkpoint from elsewhere becomes safetensors with a card: the one way in for pickles."""

import subprocess
import tempfile
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from kdgap import child
from kdgap.data import DATASETS, Request, load_dataset
from kdgap.errors import BadInputError, one_line
from kdgap.leftovers import scratch_prefix
from kdgap.models import build_model, load_state
from kdgap.models.build import check_model
from kdgap.spec import ModelSpec
from kdgap.store.card import Card, is_pickle
from kdgap.store.record import export_bytes
from kdgap.store.weights import safetensors_bytes, weight_hash

SECONDS = 600
_CLASSES = {
    "cifar10": (
        "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
    )
}  # fmt: skip


def convert_checkpoint(
    source: Path, model: ModelSpec, data: str, data_root: Path | None, out: Path | None
) -> Path:
    """Convert a checkpoint and return the file written; its card has no accuracy yet.

    Args:
        source: a `.pth` of the reference, a bare state dictionary, or safetensors without a card.
        model: its architecture.
        data: the data set it was trained on, for classes and normalisation.
        data_root: folder with that data; not needed for CIFAR-10.
        out: where to write; None = the source with the suffix `.safetensors`.

    Raises:
        BadInputError: the file is not a checkpoint of that architecture.
    """
    target = out or source.with_suffix(".safetensors")
    if target.exists() and (out is None or target.resolve() == source.resolve()):
        raise BadInputError(f"{target}: exists already; name the file to write with --out")
    if not source.is_file():
        raise BadInputError(f"{source}: {'is a folder' if source.is_dir() else 'not found'}")
    check_model(model)
    state = _read(source)
    classes, channels, image_size, mean, std = _facts(data, data_root)
    network = build_model(model, len(classes), channels, image_size, 0)
    load_state(network, state, str(source))
    card = Card(
        model=model,
        classes=classes,
        channels=channels,
        image_size=image_size,
        mean=mean,
        std=std,
        data=data,
        fingerprint=None,
        weight_hash=weight_hash(state),
        checkpoint="converted",
    )
    export_bytes(target, safetensors_bytes(state, card))
    return target


def _read(source: Path) -> dict[str, Tensor]:
    if source.suffix == ".safetensors" and not is_pickle(source):
        try:
            return dict(load_file(source))
        except (SafetensorError, OSError) as error:
            raise BadInputError(f"{source}: {one_line(error)}") from None
    with tempfile.TemporaryDirectory(prefix=scratch_prefix("convert")) as folder:
        plain = Path(folder) / "state.safetensors"
        command = child.command("kdgap.store.unpickle", str(source), str(plain))
        try:
            done = subprocess.run(
                command,
                env=child.environment(),
                capture_output=True,
                text=True,
                timeout=SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise BadInputError(f"{source}: not read within {SECONDS} s") from None
        if done.returncode != 0:
            lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
            raise BadInputError(f"{source}: cannot be converted: {one_line(lines[-1], 200)}")
        return dict(load_file(plain))


def _facts(
    data: str, root: Path | None
) -> tuple[tuple[str, ...], int, tuple[int, int], tuple[float, ...], tuple[float, ...]]:
    """Classes, channels, image size, mean and deviation that the weights were trained with."""
    entry = DATASETS[data]
    if root is None and data in _CLASSES and entry.mean is not None and entry.std is not None:
        return _CLASSES[data], 3, (32, 32), entry.mean, entry.std
    if root is None and data != "digits":
        raise BadInputError(f"--data {data}: name the folder that holds it with --data-root")
    dataset = load_dataset(data, Request(root or Path("data")))
    return dataset.classes, dataset.channels, dataset.image_size, dataset.mean, dataset.std
