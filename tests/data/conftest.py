"""Fixtures of the tests of data sets."""

from dataclasses import replace

import pytest

from kdgap.data import DATASETS, Shape
from tests.data.cifar_files import TEST, TRAIN


@pytest.fixture
def small_releases(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Publish releases of a few images: what is tested here is how each layout is read.

    That the published counts are insisted on is tested in `test_named_sets.py`.
    """
    if request.node.get_closest_marker("shared_data") is None:
        for name, classes in (("cifar10", 10), ("cifar100", 100)):
            shape = Shape(classes, 3, (32, 32), TRAIN, TEST)
            entry = replace(DATASETS[name], shape=shape, balanced=False)
            monkeypatch.setitem(DATASETS._entries, name, entry)
