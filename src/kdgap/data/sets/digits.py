"""The embedded default: scikit-learn's bundled handwritten digits, which need no download."""

from __future__ import annotations

import gzip
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

from kdgap.addressing import address
from kdgap.data.dataset import Decoded, Images, Request, Shape, dataset
from kdgap.deferred import torch
from kdgap.files import read_bytes

if TYPE_CHECKING:
    import numpy as np

TEST_IMAGES = 500


@dataset(
    "digits",
    summary="1,797 handwritten digits, 8x8 grey, bundled with scikit-learn",
    citation="Alpaydin and Kaynak 1998, UCI Optical Recognition of Handwritten Digits (test part)",
    val_size=297,
    augmentation="crop",
    shape=Shape(10, 1, (8, 8), 1_297, 500),
)
def digits(_request: Request) -> Decoded:
    """Load the digits: 1,297 training images (validation included) and 500 test images.

    The set comes without a split of its own; a fixed permutation makes one. Its 17 grey levels
    (0 to 16) are spread over 0 to 255.
    """
    table = _table()
    levels = torch.from_numpy(table[:, :64].reshape(-1, 1, 8, 8))
    grey = levels.mul(255 / 16).round().to(torch.uint8)
    labels = torch.from_numpy(table[:, 64]).long()
    generator = torch.Generator().manual_seed(address(0, "digits-test"))
    order = torch.randperm(len(labels), generator=generator)
    test, train = order[:TEST_IMAGES], order[TEST_IMAGES:]
    everything = Images(grey, labels)
    return Decoded(
        train=everything.take(train),
        test=everything.take(test),
        classes=tuple("0123456789"),
        source="scikit-learn's bundled digits",
    )


def _table() -> np.ndarray:
    """Return the 64 grey levels and the label of every digit, float64 `[1797, 65]`."""
    import numpy as np

    package = importlib.util.find_spec("sklearn")
    assert package is not None
    assert package.submodule_search_locations
    file = Path(package.submodule_search_locations[0]) / "datasets" / "data" / "digits.csv.gz"
    try:
        # Importing scikit-learn takes seconds, in each process of a study; its file does not.
        content = gzip.decompress(read_bytes(file))
    except OSError:  # a version that keeps it elsewhere, or no folder
        from sklearn.datasets import load_digits

        bunch = load_digits()
        return np.column_stack([bunch.data, bunch.target])
    return np.loadtxt(content.decode().splitlines(), delimiter=",")
