"""Networks as users write them: what `package.module:factory` is pointed at in tests."""

import random
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


class Tiny(nn.Module):
    """Two convolutional stages, dropout, a linear head."""

    def __init__(self, num_classes: int, in_chans: int = 3, width: int = 4, drop: float = 0.0):
        super().__init__()
        self.stem = nn.Conv2d(in_chans, width, 3, 1, 1)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(width * 2**i, width * 2 ** (i + 1), 3, 2, 1),
                nn.BatchNorm2d(width * 2 ** (i + 1)),
                nn.ReLU(),
            )
            for i in range(2)
        )
        self.drop = nn.Dropout(drop)
        self.head = nn.Linear(4 * width, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        logits: Tensor = self.head(self.drop(x.mean((2, 3))))
        return logits


class Tokens(nn.Module):
    """Tokens with a class token before them, as a vision transformer has them."""

    def __init__(self, num_classes: int, in_channels: int = 3):
        super().__init__()
        self.embed = nn.Conv2d(in_channels, 6, 2, 2)
        self.first = nn.Parameter(torch.zeros(1, 1, 6))
        self.block = nn.Linear(6, 6)
        self.head = nn.Linear(6, num_classes, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x).flatten(2).transpose(1, 2)
        x = self.block(torch.cat([self.first.expand(len(x), -1, -1), x], 1))
        logits: Tensor = self.head(x[:, 0])
        return logits


class Pair(nn.Module):
    """Answers with two things."""

    def __init__(self, num_classes: int):
        super().__init__()
        self.head = nn.Linear(3, num_classes)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        logits: Tensor = self.head(x.mean((2, 3)))
        return logits, logits


def raises(num_classes: int) -> nn.Module:
    raise RuntimeError("no such\nthing")


def number(num_classes: int) -> Any:
    return 5


def of_ten(num_classes: int) -> nn.Module:
    return Tiny(11)


answer = 42


def exits(num_classes: int) -> nn.Module:
    """End the program, as a script does that is taken for a module."""
    raise SystemExit(0)


class Skips(Tiny):
    """Leaves out a block now and then, and scales; draws as much code does that is not torch's."""

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        if self.training and random.random() < 0.5:
            x = x * float(np.random.rand())  # noqa: NPY002
        logits: Tensor = self.head(self.drop(x.mean((2, 3))))
        return logits


class Nested(nn.Module):
    """Has an `inner` of its own, with names that stand beside it again."""

    def __init__(self, num_classes: int):
        super().__init__()
        self.inner = Tiny(4)
        self.head = nn.Linear(4, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.inner(x))
        return logits


class TwoHeads(nn.Module):
    """Answers in training with a second head's logits besides."""

    def __init__(self, num_classes: int, in_chans: int = 3):
        super().__init__()
        self.aux, self.head = (nn.Linear(in_chans, num_classes) for _ in range(2))

    def forward(self, x: Tensor) -> Any:
        pooled = x.mean((2, 3))
        logits = self.head(pooled)
        return (logits, self.aux(pooled)) if self.training else logits


def half(num_classes: int) -> nn.Module:
    return Tiny(num_classes).half()


class Fails(Tiny):
    """Has an error in its code."""

    def forward(self, x: Tensor) -> Tensor:
        kept: dict[str, Tensor] = {}
        return kept["gone"]


fails = Fails
