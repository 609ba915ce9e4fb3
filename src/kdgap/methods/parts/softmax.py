"""Probabilities in log space, with and without the true class: what logit methods are made of."""

import torch
import torch.nn.functional as F
from torch import Tensor

from kdgap.methods.shared import wide


def log_probabilities(logits: Tensor, temperature: float) -> Tensor:
    """Return ln softmax(logits / T), `[B, C]`, in at least float32."""
    return F.log_softmax(wide(logits) / temperature, dim=1)


def divergence(log_teacher: Tensor, log_student: Tensor) -> Tensor:
    """Return KL(teacher || student) of each row of log-probabilities, `[B]`, in nats."""
    return (log_teacher.exp() * (log_teacher - log_student)).sum(1)


def others(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the logits of all classes but the true one, `[B, C - 1]`, in the order of classes."""
    columns = torch.arange(logits.shape[1] - 1, device=logits.device)
    return logits.gather(1, columns + (columns >= labels[:, None]))


def true_and_rest(logits: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """Return ln p and ln (1 − p) of the true class at T, `[B, 2]`, in at least float32.

    The rest is a logsumexp of its own logits: 1 − p would cancel where p is near 1.
    """
    scaled = wide(logits) / temperature
    true = scaled.gather(1, labels[:, None])
    rest = others(scaled, labels).logsumexp(1, keepdim=True)
    return torch.cat([true, rest], 1) - scaled.logsumexp(1, keepdim=True)
