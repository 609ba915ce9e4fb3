"""What a network answered to each image, kept in its run.

One safetensors file for the validation images and one for the test images: `labels` `[N]`, and for
each of the run's weights the logits `[N, C]` as half-precision numbers, from which the largest of
each image is subtracted. That changes no probability (softmax does not see it), keeps the digits
where they count, near the answer, and takes two bytes a number. Where `best` and `last` are the
same weights, only `best` is there. `teacher` is there where the teacher was given as a file, so
that no run of its own keeps what it answered.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from kdgap.errors import StoreDamagedError, not_read
from kdgap.files import read_bytes
from kdgap.store.manifest import read_manifest
from kdgap.store.mirror import brought
from kdgap.store.tensorfile import Entry, Header, NotSafetensorsError, read_header

Numbers = NDArray[Any]
LABELS = "labels"
_TYPES = {"U16": np.uint16, "F16": np.float16}
_LOWEST = -65504.0
"""The lowest finite half-precision number: a probability below exp(-65504) is none."""
_NEXT = -(2.0**-24)
"""The half-precision number that is next below zero."""


@dataclass(frozen=True)
class Predictions:
    """What one run's networks answered.

    Attributes:
        labels: the right class of each image, `[N]`.
        logits: `best`, `last` and perhaps `teacher`: `[N, C]`, the largest of each image is 0.
        hashes: the weight hash of each; of a `teacher` also where its own run keeps its answers.
    """

    labels: Numbers
    logits: Mapping[str, Numbers]
    hashes: Mapping[str, str]

    def answers(self, name: str) -> Numbers:
        """Return the top-1 class of each image, `[N]`."""
        return np.asarray(self.logits[name].argmax(1))

    def probabilities(self, name: str) -> Numbers:
        """Return the softmax of each image, `[N, C]`, in double precision."""
        logits = self.logits[name].astype(np.float64)
        exponentials = np.exp(logits - logits.max(1, keepdims=True))
        return np.asarray(exponentials / exponentials.sum(1, keepdims=True))


def compact(logits: Numbers) -> Numbers:
    """Return logits `[N, C]` as they are kept; the first largest of each image stays the largest.

    Args:
        logits: single or double precision.
    """
    top = logits.argmax(1)
    kept = np.maximum(logits - logits.max(1, keepdims=True), _LOWEST).astype(np.float16)
    close = kept == 0
    close[np.arange(len(top)), top] = False  # what rounding made equal must not become the answer
    kept[close] = _NEXT
    return np.asarray(kept)


def predictions_bytes(
    run_id: str, labels: Numbers, logits: Mapping[str, Numbers], hashes: Mapping[str, str]
) -> bytes:
    """Return the content of a file of predictions.

    Args:
        run_id: of which run.
        labels: the right classes, `[N]`.
        logits: by name, `[N, C]` as the network gave them.
        hashes: weight hashes by name; also of those whose answers are kept elsewhere.
    """
    tensors = {LABELS: labels.astype(np.uint16)}
    known: set[str] = set()
    for name, values in logits.items():
        if hashes[name] not in known:
            tensors[name] = compact(values)
        known.add(hashes[name])
    about = {"format": 1, "run_id": run_id, "weight_hashes": dict(hashes)}
    return save(tensors, {"kdgap": json.dumps(about, sort_keys=True)})


def read_predictions(folder: Path, name: str) -> Predictions | None:
    """Read one of the `PREDICTIONS` of a finished run; None where it keeps none.

    Raises:
        StoreDamagedError: the file is not the one that the manifest vouches for.
        UnreadableError: it cannot be read.
        StorageError: it is kept at a URL that does not answer.
    """
    manifest = read_manifest(folder)
    if name not in manifest.files:
        return None
    path = brought(folder, name)
    try:
        content = read_bytes(path)
    except OSError as error:
        raise not_read(path, error) from None
    if hashlib.sha256(content).hexdigest() not in (manifest.files[name], manifest.before.get(name)):
        raise StoreDamagedError(f"{path}: changed after the run was finished")
    try:
        return _parsed(read_header(BytesIO(content)), content)
    except (NotSafetensorsError, ValueError, KeyError, TypeError, AttributeError):
        raise StoreDamagedError(f"{path}: holds no predictions of a run") from None


def _parsed(header: Header, content: bytes) -> Predictions:
    about = json.loads(header.metadata["kdgap"])
    tensors = {name: _tensor(entry, content) for name, entry in header.tensors.items()}
    labels = tensors.pop(LABELS)
    hashes = {str(name): str(value) for name, value in about["weight_hashes"].items()}
    by_hash = {hashes[name]: values for name, values in tensors.items()}
    logits = {name: by_hash[hashes[name]] for name in hashes if hashes[name] in by_hash}
    shapes = {values.shape for values in tensors.values()}
    if not {"best", "last"} <= logits.keys():
        raise KeyError(list(logits))
    if labels.ndim != 1 or len(shapes) != 1 or {len(labels)} != {shape[0] for shape in shapes}:
        raise ValueError(shapes)
    return Predictions(labels.astype(np.int64), logits, hashes)


def _tensor(entry: Entry, content: bytes) -> Numbers:
    kind = np.dtype(_TYPES[entry.dtype])
    count = entry.size // kind.itemsize
    return np.frombuffer(content, kind, count, entry.start).reshape(entry.shape)
