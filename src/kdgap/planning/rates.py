"""How fast machines train that are not at hand, from speeds that others have published.

`rates.json` holds each speed with its source and with what is assumed. Nothing in it was measured
with kdgap.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kdgap.errors import BadInputError
from kdgap.files import read_text
from kdgap.models.build import model_cost
from kdgap.spec.model import ModelSpec
from kdgap.spec.run import Precision

MACHINES: Mapping[str, Mapping[str, Any]] = json.loads(
    read_text(Path(__file__).with_name("rates.json"))
)


def published_rate(machine: str, precision: Precision) -> tuple[float, str]:
    """Return training FLOP/s of a machine, and where the number comes from.

    Raises:
        BadInputError: no speed was published for this precision.
    """
    about = MACHINES[machine]
    known = about.get(precision)
    if known is None:
        there = ", ".join(sorted(about.keys() & {"fp32", "bf16"}))
        raise BadInputError(
            f"--device {machine}: no published speed for {precision} (there is one for {there});"
            f" plan with --set precision={there}"
        )
    side = (known["image_size"], known["image_size"])
    _, forward = model_cost(ModelSpec(name=known["network"]), known["classes"], 3, side)
    source = (
        f"not measured here, but estimated from {known['images_per_second']:,} images/s of"
        f" {known['network']} at {side[0]} pixels on {about['what']} ({known['source']})"
    )
    return 3.0 * forward * known["images_per_second"], source
