"""The embedded default: scikit-learn's bundled handwritten digits, which need no download."""

from __future__ import annotations

from kdgap.addressing import address
from kdgap.data.dataset import Decoded, Images, Request, Shape, dataset
from kdgap.deferred import torch

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
    # scikit-learn takes a second to import, which only this data set should pay.
    from sklearn.datasets import load_digits

    bunch = load_digits()
    grey = torch.from_numpy(bunch.images).mul(255 / 16).round().to(torch.uint8).unsqueeze(1)
    labels = torch.from_numpy(bunch.target).long()
    generator = torch.Generator().manual_seed(address(0, "digits-test"))
    order = torch.randperm(len(labels), generator=generator)
    test, train = order[:TEST_IMAGES], order[TEST_IMAGES:]
    everything = Images(grey, labels)
    return Decoded(
        train=everything.take(train),
        test=everything.take(test),
        classes=tuple(str(name) for name in bunch.target_names),
        source="scikit-learn's bundled digits",
    )
