"""What networks answered: kept compactly, without moving an answer; believed only as written."""

from pathlib import Path

import numpy as np
import pytest

from kdgap.errors import StoreDamagedError
from kdgap.store.manifest import PREDICTIONS_TEST, PREDICTIONS_VAL
from kdgap.store.predictions import Predictions, compact, predictions_bytes, read_predictions
from kdgap.store.record import RunDirectory
from tests.store import small

HASHES = {"best": "b" * 64, "last": "c" * 64}
LABELS = np.array([0, 2, 1])
LOGITS = np.array([[3.0, 1.0, -2.0], [0.5, 0.25, 4.0], [-1.0, 0.0, 1.0]], np.float32)


def _finished(folder: Path, content: bytes) -> Path:
    directory = RunDirectory(folder)
    directory.start(small.header(small.spec("baseline", 0)))
    directory.append_history({"epoch": 1, "val_acc": 0.5})
    for name in ("checkpoint_best.safetensors", "checkpoint_last.safetensors"):
        (folder / name).write_bytes(b"weights")
    directory.finish({"best_val_acc": 0.5}, None, {PREDICTIONS_VAL: content})
    return folder


def _kept(folder: Path) -> Predictions:
    kept = read_predictions(folder, PREDICTIONS_VAL)
    assert kept is not None
    return kept


def test_predictions_are_read_back_with_their_labels_and_weights(tmp_path: Path) -> None:
    logits = {"best": LOGITS, "last": LOGITS[:, ::-1].copy()}
    kept = _kept(_finished(tmp_path / "run", predictions_bytes("id", LABELS, logits, HASHES)))
    assert kept.labels.tolist() == LABELS.tolist()
    assert kept.hashes == HASHES
    assert kept.answers("best").tolist() == [0, 2, 2]
    assert kept.answers("last").tolist() == [2, 0, 0]
    exponentials = np.exp(LOGITS.astype(float))
    expected = exponentials / exponentials.sum(1, keepdims=True)
    np.testing.assert_allclose(kept.probabilities("best"), expected, atol=5e-4)


def test_the_same_weights_are_kept_once() -> None:
    same = {"best": "b" * 64, "last": "b" * 64}
    twice = predictions_bytes("id", LABELS, {"best": LOGITS, "last": LOGITS}, HASHES)
    assert len(predictions_bytes("id", LABELS, {"best": LOGITS, "last": LOGITS}, same)) < len(twice)


def test_the_same_weights_are_found_under_both_names(tmp_path: Path) -> None:
    same = {"best": "b" * 64, "last": "b" * 64}
    content = predictions_bytes("id", LABELS, {"best": LOGITS, "last": LOGITS}, same)
    kept = _kept(_finished(tmp_path / "run", content))
    assert kept.answers("last").tolist() == kept.answers("best").tolist()


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e4, 1e30])
def test_no_answer_moves_however_close_or_large_logits_are(scale: float) -> None:
    logits = np.random.default_rng(0).normal(size=(500, 7)).astype(np.float32) * np.float32(scale)
    logits[:50, 3] = np.nextafter(logits[:50].max(1), np.float32(np.inf))  # by one digit
    kept = compact(logits)
    assert np.isfinite(kept).all()
    assert kept.argmax(1).tolist() == logits.argmax(1).tolist()
    assert (kept.max(1) == 0).all()


def test_equal_logits_are_answered_with_the_first() -> None:
    assert compact(np.zeros((2, 4), np.float32)).argmax(1).tolist() == [0, 0]


def test_a_run_of_before_keeps_none(tmp_path: Path) -> None:
    small.finished(tmp_path / "run", small.spec("baseline", 0), 0.5)
    assert read_predictions(tmp_path / "run", PREDICTIONS_TEST) is None


def test_changed_predictions_are_not_believed(tmp_path: Path) -> None:
    content = predictions_bytes("id", LABELS, {"best": LOGITS, "last": LOGITS}, HASHES)
    folder = _finished(tmp_path / "run", content)
    (folder / PREDICTIONS_VAL).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(StoreDamagedError, match="changed after the run was finished"):
        read_predictions(folder, PREDICTIONS_VAL)
    with pytest.raises(StoreDamagedError, match=PREDICTIONS_VAL):
        RunDirectory(folder).read()
    RunDirectory(folder).read(hash_weights=False)


def test_predictions_that_are_gone_are_named(tmp_path: Path) -> None:
    folder = _finished(
        tmp_path / "run", predictions_bytes("id", LABELS, {"best": LOGITS, "last": LOGITS}, HASHES)
    )
    (folder / PREDICTIONS_VAL).unlink()
    with pytest.raises(StoreDamagedError, match=PREDICTIONS_VAL):
        read_predictions(folder, PREDICTIONS_VAL)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no safetensors",
        predictions_bytes("id", LABELS[:2], {"best": LOGITS, "last": LOGITS}, HASHES),
        predictions_bytes("id", LABELS, {"best": LOGITS, "last": LOGITS[:2]}, HASHES),
        predictions_bytes("id", LABELS, {}, {}),
        predictions_bytes("id", LABELS, {"best": LOGITS}, {"best": "b", "last": "c"}),
    ],
    ids=["empty", "text", "labels", "lengths", "none", "missing"],
)
def test_what_is_no_predictions_is_refused(tmp_path: Path, content: bytes) -> None:
    folder = _finished(tmp_path / "run", content)
    with pytest.raises(StoreDamagedError, match="holds no predictions"):
        read_predictions(folder, PREDICTIONS_VAL)


def test_opening_the_door_adds_test_predictions(tmp_path: Path) -> None:
    content = predictions_bytes(
        "id", LABELS, {"best": LOGITS, "last": LOGITS}, {"best": "b", "last": "b"}
    )
    folder = _finished(tmp_path / "run", content)
    RunDirectory(folder).finish({"best_val_acc": 0.5}, {"images": 3}, {PREDICTIONS_TEST: content})
    RunDirectory(folder).read()
    kept = read_predictions(folder, PREDICTIONS_TEST)
    assert kept is not None
    assert kept.answers("best").tolist() == [0, 2, 2]
