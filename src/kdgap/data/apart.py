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
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from torch import Tensor

    from kdgap.data.images import Images

BITS_AT_MOST = 8
LEVELS_AT_MOST = 3.0
_STEP = 2.0
_ROWS, _COLUMNS = 8, 9
_LUMINANCE = np.array([299.0, 587.0, 114.0]) / 1000
_BLOCK = 256


def set_apart(
    images: Images, names: Iterable[str], classes: Sequence[str], seed: int, test_share: float
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
    roots = _alike(images)
    labels = images.labels.numpy()
    total = Counter(labels.tolist())
    wanted = test_counts(labels.tolist(), test_share)
    sizes = np.bincount(roots, minlength=len(roots))
    several: dict[int, list[int]] = {}
    for place in np.flatnonzero(sizes[roots] > 1).tolist():
        several.setdefault(int(roots[place]), []).append(place)

    def own(root: int) -> Counter[int]:
        return Counter(labels[several.get(root, [root])].tolist())

    counts: Counter[int] = Counter()
    tested = np.zeros(len(roots), dtype=bool)
    order = _drawn(roots, names, seed)
    for root in order.tolist():
        if all(counts[label] + count <= wanted[label] for label, count in own(root).items()):
            tested[several.get(root, [root])] = True
            counts.update(own(root))
    # Where a class is made of large groups, the smallest.
    for root in order[np.argsort(sizes[order], kind="stable")].tolist():
        room = all(counts[label] + count < total[label] for label, count in own(root).items())
        if room and not all(counts[label] for label in own(root)):
            tested[several.get(root, [root])] = True
            counts.update(own(root))
    _refuse_one_sided(total, counts, classes)
    chosen, kept = (torch.from_numpy(np.flatnonzero(side)) for side in (tested, ~tested))
    return kept, chosen, Split(seed, test_share, sum(map(len, several.values())), len(several))


def _drawn(roots: np.ndarray, names: Iterable[str], seed: int) -> np.ndarray:
    """Return the groups' first images in the order that the seed and their names draw, `[G]`."""
    drawn = np.empty((len(roots), 2), np.uint64)  # 16 of a digest's bytes: no two are equal
    for place, name in enumerate(names):
        digest = hashlib.sha256(f"{seed}\0{name!r}".encode()).digest()
        drawn[place] = np.frombuffer(digest[:16], ">u8")
    ranks = np.empty(len(roots), np.int64)
    ranks[np.lexsort((drawn[:, 1], drawn[:, 0]))] = np.arange(len(roots))
    least = np.full(len(roots), len(roots))
    np.minimum.at(least, roots, ranks)
    firsts = np.flatnonzero(roots == np.arange(len(roots)))
    order: np.ndarray = firsts[np.argsort(least[firsts])]
    return order


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
    return np.concatenate([np.empty((0, _ROWS, _COLUMNS)), *_cells(images)])


def _cells(images: Images) -> Iterator[np.ndarray]:
    _, height, width = images.shape
    down, across = _areas(_ROWS, height), _areas(_COLUMNS, width)
    for pixels in images.chunks():
        colours = pixels.numpy().astype(np.float64)
        weights = _LUMINANCE if colours.shape[1] == 3 else np.full(colours.shape[1], 1.0)
        grey = np.tensordot(colours, weights / weights.sum(), axes=([1], [0]))
        # Rounded, for sums in another order must not turn a bit: equal cells stay equal.
        yield (down @ grey @ across.T).round(6)


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
    groups: dict[int, list[int]] = {}
    for place, root in enumerate(_roots(_words(means), lambda places: means[places]).tolist()):
        groups.setdefault(root, []).append(place)
    return list(groups.values())


def _alike(images: Images) -> np.ndarray:
    """Return of each image the first of its group, int64 `[N]`.

    Means are kept of those images alone whose bits are like another's: they take 576 bytes each.
    """
    words = np.concatenate([_words(means) for means in _cells(images)])
    return _roots(words, lambda places: cells(images.take(torch.from_numpy(places))))


def _words(means: np.ndarray) -> np.ndarray:
    """Return the 64 bits of each image, uint64 `[N]`."""
    bits = (np.diff(means, axis=2) > _STEP).reshape(len(means), -1)
    return np.packbits(bits, axis=1).view(np.uint64)[:, 0]


def _roots(words: np.ndarray, means_of: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    alike = np.zeros(len(words), dtype=bool)
    for first, second in _candidates(words):
        alike[first] = alike[second] = True
    means = means_of(np.flatnonzero(alike)).reshape(-1, _ROWS * _COLUMNS)
    number = np.cumsum(alike) - 1
    parent = np.arange(len(words))

    def root(place: int) -> int:
        while parent[place] != place:
            parent[place] = parent[parent[place]]
            place = int(parent[place])
        return place

    for first, second in _candidates(words):
        apart = np.abs(means[number[first]] - means[number[second]]).mean(axis=1)
        close = apart <= LEVELS_AT_MOST
        for a, b in zip(first[close].tolist(), second[close].tolist(), strict=True):
            low, high = sorted((root(a), root(b)))
            parent[high] = low
    for place in np.flatnonzero(alike).tolist():
        parent[place] = root(place)
    return parent


def _candidates(words: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield pairs of places whose 64 bits differ in at most `BITS_AT_MOST`, some at a time.

    Of one part more than bits may differ, one part is equal: pairs are looked for within these.
    """
    octets = words.view(np.uint8).reshape(-1, 8)
    for columns in np.array_split(np.arange(64), BITS_AT_MOST + 1):
        keys = np.zeros(len(words), np.uint8)
        for place, column in enumerate(columns.tolist()):
            keys |= (octets[:, column // 8] >> (7 - column % 8) & 1) << place
        order = np.argsort(keys, kind="stable")
        ends = np.flatnonzero(np.diff(keys[order])) + 1
        for bucket in np.split(order, ends):
            parts = np.array_split(bucket, -(-len(bucket) // _BLOCK))
            for one_side, other_side in combinations_with_replacement(parts, 2):
                differing = np.bitwise_count(words[one_side][:, None] ^ words[other_side][None])
                first, second = np.nonzero(differing <= BITS_AT_MOST)
                kept = (one_side[first] < other_side[second]) | (one_side is not other_side)
                if kept.any():
                    yield one_side[first][kept], other_side[second][kept]
