"""Test images set apart from images that come without a split: stratified, fixed, without twins.

The same picture saved twice, at another quality or size, must not be trained on and tested on. So
near-duplicates are found first, and each group of them goes to one side as a whole.

**Near-duplicates.** Of each image, the means of 8 x 9 cells of its grey pixels are compared:
- 64 bits, one for each two cells that lie side by side: whether the right one is the brighter by
  more than 2 grey levels (a difference hash). At most 8 of them may differ.
- the means themselves: they may differ by at most 3 grey levels (of 255) on average.

Both have to hold, for bits alone call images alike that merely are composed alike. Of 500 images of
32 x 32 pixels, all were recognised as JPEG of quality 75 and 99% at quality 50; among the 50,000
training images of CIFAR-10 three pairs are alike. Copies that were cropped, turned, mirrored or
recoloured are not recognised; plain images of equal brightness are taken for copies.
Groups are closed: what is like a member of a group belongs to it.

**The split.** Groups are put in an order drawn from `split_seed` and the names of their images, so
that it depends on nothing else, such as the file system's order. Then each goes to the test images
where each of its classes has room there. A class has `test_share` of its images there,
rounded to the nearest number but at least one, and at least one is left to train on; large groups
may make it fewer.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from itertools import combinations_with_replacement
from typing import TYPE_CHECKING

import numpy as np

from kdgap.data.decoded import Split
from kdgap.deferred import torch
from kdgap.errors import BadInputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from torch import Tensor

    from kdgap.data.images import Images

BITS_AT_MOST = 8
LEVELS_AT_MOST = 3.0
_STEP = 2.0
_ROWS, _COLUMNS = 8, 9
_LUMINANCE = np.array([299.0, 587.0, 114.0]) / 1000
_BLOCK = 256


def set_apart(
    images: Images, names: Sequence[str], classes: Sequence[str], seed: int, test_share: float
) -> tuple[Tensor, Tensor, Split]:
    """Return the places of the training and of the test images, int64, and how they were drawn.

    Args:
        images: all images.
        names: a name of each, which no other has.
        classes: class names in label order.
        seed: draws the order in which groups are looked at.
        test_share: share of each class that is tested on, in (0, 1).

    Raises:
        BadInputError: naming a class of which both sides cannot have an image.
    """
    groups = near_duplicates(cells(images))
    labels = images.labels.tolist()
    total = Counter(labels)
    wanted = test_counts(labels, test_share)
    counts: Counter[int] = Counter()
    test: set[int] = set()
    drawn = [hashlib.sha256(f"{seed}\0{name!r}".encode()).digest() for name in names]
    order = sorted(groups, key=lambda group: min(drawn[place] for place in group))
    for group in order:
        own = Counter(labels[place] for place in group)
        if all(counts[label] + count <= wanted[label] for label, count in own.items()):
            test.update(group)
            counts.update(own)
    for group in sorted(order, key=len):  # where a class is made of large groups, the smallest
        own = Counter(labels[place] for place in group)
        room = all(counts[label] + count < total[label] for label, count in own.items())
        if room and not all(counts[label] for label in own):
            test.update(group)
            counts.update(own)
    _refuse_one_sided(total, counts, classes)
    chosen = torch.tensor(sorted(test), dtype=torch.int64)
    kept = torch.tensor([p for p in range(len(labels)) if p not in test], dtype=torch.int64)
    several = [group for group in groups if len(group) > 1]
    return kept, chosen, Split(seed, test_share, sum(map(len, several)), len(several))


def test_counts(labels: Iterable[int], test_share: float) -> dict[int, int]:
    """Return label → how many of its images are to be tested on; near-duplicates may change it."""
    return {
        label: min(max(1, round(test_share * count)), count - 1)
        for label, count in Counter(labels).items()
    }


def _refuse_one_sided(total: Counter[int], tested: Counter[int], classes: Sequence[str]) -> None:
    for label, count in sorted(total.items()):
        if not 0 < tested[label] < count:
            what = "one image" if count == 1 else f"{count:,} images that are near-duplicates"
            raise BadInputError(
                f"class {classes[label]!r} has {what}, so there is none to train on and another to"
                " test on; add different ones, or make folders train/CLASS/ and test/CLASS/"
            )


def cells(images: Images) -> np.ndarray:
    """Return the grey means of 8 x 9 cells of each image, float64 `[N, 8, 9]`, in [0, 255]."""
    _, height, width = images.shape
    down, across = _areas(_ROWS, height), _areas(_COLUMNS, width)
    means = []
    for pixels in images.chunks():
        colours = pixels.numpy().astype(np.float64)
        weights = _LUMINANCE if colours.shape[1] == 3 else np.full(colours.shape[1], 1.0)
        grey = np.tensordot(colours, weights / weights.sum(), axes=([1], [0]))
        means.append(down @ grey @ across.T)
    # Rounded, for sums in another order must not turn a bit: equal cells stay equal.
    return np.concatenate(means).round(6)


def _areas(parts: int, side: int) -> np.ndarray:
    """Return how much of each of `side` pixels lies in each of equal parts, `[parts, side]`."""
    edges, places = np.arange(parts + 1) * side / parts, np.arange(side)
    low = np.maximum(edges[:-1, None], places)
    high = np.minimum(edges[1:, None], places + 1)
    shares: np.ndarray = np.maximum(high - low, 0) * parts / side
    return shares


def near_duplicates(means: np.ndarray) -> list[list[int]]:
    """Return groups of images that are alike, alone or several, in the order of their first.

    Args:
        means: what `cells` returned.
    """
    bits = (np.diff(means, axis=2) > _STEP).reshape(len(means), -1)
    flat = means.reshape(len(means), -1)
    parent = list(range(len(means)))

    def root(place: int) -> int:
        while parent[place] != place:
            parent[place] = parent[parent[place]]
            place = parent[place]
        return place

    for first, second in _candidates(bits):
        apart = np.abs(flat[first] - flat[second]).mean(axis=1)
        alike = apart <= LEVELS_AT_MOST
        for a, b in zip(first[alike].tolist(), second[alike].tolist(), strict=True):
            low, high = sorted((root(a), root(b)))
            parent[high] = low
    groups: dict[int, list[int]] = {}
    for place in range(len(means)):
        groups.setdefault(root(place), []).append(place)
    return list(groups.values())


def _candidates(bits: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield pairs of places whose bits `[N, 64]` differ in at most `BITS_AT_MOST`.

    Of one part more than bits may differ, one part is equal: pairs are looked for within these.
    """
    words = np.packbits(bits, axis=1).view(np.uint64)[:, 0]
    for columns in np.array_split(np.arange(bits.shape[1]), BITS_AT_MOST + 1):
        keys = bits[:, columns] @ (1 << np.arange(len(columns)))
        order = np.argsort(keys, kind="stable")
        ends = np.flatnonzero(np.diff(keys[order])) + 1
        for bucket in np.split(order, ends):
            parts = np.array_split(bucket, -(-len(bucket) // _BLOCK))
            for one_side, other_side in combinations_with_replacement(parts, 2):
                differing = np.bitwise_count(words[one_side][:, None] ^ words[other_side][None])
                first, second = np.nonzero(differing <= BITS_AT_MOST)
                kept = (one_side[first] < other_side[second]) | (one_side is not other_side)
                yield one_side[first][kept], other_side[second][kept]
