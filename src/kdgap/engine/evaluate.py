"""Predictions, accuracy, calibration, and fidelity of a student to its teacher."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from kdgap.data import Images, Preprocessing
from kdgap.engine.precision import compute
from kdgap.methods.logit import softened_kl
from kdgap.models.output import Network
from kdgap.spec.run import Precision

BATCH = 256
ECE_BINS = 15


def predict(
    network: Network,
    images: Images,
    preprocessing: Preprocessing,
    precision: Precision,
    device: torch.device,
    pause: Callable[[], None] = lambda: None,
) -> Tensor:
    """Return float32 logits `[N, C]` on the CPU; the network's mode is as before afterwards.

    `pause` is called before each batch, and may raise to stop.
    """
    was_training = network.training
    network.eval()
    batches = []
    try:
        with torch.inference_mode(), compute(precision, device):
            for pixels in images.chunks(BATCH):
                pause()
                answer = network(preprocessing(pixels.to(device)))
                batches.append(answer.logits.float())
    finally:
        network.train(was_training)
    return torch.cat(batches).cpu()


def accuracy(logits: Tensor, labels: Tensor) -> float:
    """Return the share of right top-1 answers, in [0, 1]."""
    return int((logits.argmax(1) == labels.cpu()).sum()) / len(labels)


def calibration_error(logits: Tensor, labels: Tensor, bins: int = ECE_BINS) -> float:
    """Return the expected calibration error in [0, 1] (Guo et al. 2017, equation 3).

    Bins are of equal width and closed above, so a confidence of 1 falls in the last.
    """
    confidence, answer = logits.double().softmax(1).max(1)
    right = (answer == labels.cpu()).double()
    index = (confidence * bins).ceil().long().clamp(1, bins) - 1
    gap = torch.zeros(bins, dtype=torch.float64).index_add_(0, index, right - confidence)
    return float(gap.abs().sum() / len(labels))


def per_class_accuracy(
    logits: Tensor, labels: Tensor, classes: Sequence[str]
) -> dict[str, float | None]:
    """Return accuracy by class name; None for a class without images."""
    right = logits.argmax(1) == labels.cpu()
    shares: dict[str, float | None] = {}
    for index, name in enumerate(classes):
        mask = labels.cpu() == index
        count = int(mask.sum())
        shares[name] = int(right[mask].sum()) / count if count else None
    return shares


def scores(logits: Tensor, labels: Tensor, classes: Sequence[str]) -> Mapping[str, Any]:
    """Return accuracy, negative log-likelihood (nats), calibration error, accuracy by class."""
    return {
        "accuracy": accuracy(logits, labels),
        "nll": float(F.cross_entropy(logits.double(), labels.cpu())),
        "ece": calibration_error(logits, labels),
        "per_class_acc": per_class_accuracy(logits, labels, classes),
    }


def fidelity(student: Tensor, teacher: Tensor) -> dict[str, float]:
    """Return how closely a student follows its teacher on the same images.

    Args:
        student: logits `[N, C]`.
        teacher: logits `[N, C]`.

    Returns:
        Top-1 agreement in [0, 1] and the mean KL(teacher || student) in nats at temperature 1 and
        4, without a factor T^2 (Stanton et al. 2021, section 3).
    """
    return {
        "top1_agreement": int((student.argmax(1) == teacher.argmax(1)).sum()) / len(student),
        "kl_t1": float(softened_kl(student.double(), teacher.double(), 1.0).mean()),
        "kl_t4": float(softened_kl(student.double(), teacher.double(), 4.0).mean()),
    }
