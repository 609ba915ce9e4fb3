"""What a step of each method takes beside one of KD, as `benchmarks/methods.py` measured it."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from kdgap.files import read_text

if TYPE_CHECKING:
    from collections.abc import Mapping

TEACHER, STUDENT = "resnet20", "resnet8"
"""The networks of the measured steps; images of 32 x 32."""


@cache
def measured() -> Mapping[str, Mapping[str, float]]:
    """Return method → `time`, KD's step as 1, and `memory_mb` more than KD; some may lack."""
    known: Mapping[str, Mapping[str, float]] = json.loads(
        read_text(Path(__file__).with_name("costs.json"))
    )
    return known
