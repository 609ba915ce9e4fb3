"""Every random choice has an address; the address alone decides it."""

from collections.abc import Iterator
from itertools import product

import pytest
import torch

from kdgap.addressing import address

PURPOSES = ("order", "augment", "student", "projections", "digits-test", "global")


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ((0, "order", 0), 1829853113658518448),
        ((0, "order", 1), 2961819992523135983),
        ((1, "order", 0), 8401410035462850704),
        ((7, "augment", 3, 12), 761093490411402518),
        ((2**63 - 1, "student"), 4432267585603293489),
    ],
)
def test_an_address_keeps_its_value_for_ever(where: tuple[int, str], expected: int) -> None:
    assert address(*where) == expected


def addresses() -> Iterator[int]:
    for seed, purpose in product((0, 1, 2, 11, 12, 1234), PURPOSES):
        yield address(seed, purpose)
        for epoch in range(12):
            yield address(seed, purpose, epoch)
            for step in range(12):
                yield address(seed, purpose, epoch, step)


def test_addresses_are_distinct_and_fit_in_63_bits() -> None:
    numbers = list(addresses())
    assert len(set(numbers)) == len(numbers)
    assert min(numbers) >= 0
    assert max(numbers) < 2**63
    assert max(numbers) > 2**62


def test_any_address_seeds_a_torch_generator() -> None:
    seed = max(addresses())
    assert torch.Generator().manual_seed(seed).initial_seed() == seed
