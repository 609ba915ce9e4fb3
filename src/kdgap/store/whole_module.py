"""Whole modules of torch in a pickle, by name: their code is elsewhere, and none of it is run."""

from typing import Any

from kdgap.store.checkpoint import BRANCHES, MAX_NAME, Loaded, parts_of
from kdgap.store.pickled import Construction, Named

_NEAR, _MOST_MODULES = 3, 8
"""Keys that lead to a module that is named, and how many are."""


def modules_in(loaded: Loaded) -> list[tuple[str, str]]:
    """Return where whole modules of torch are, by keys with dots, and their classes' names.

    Only the outermost ones, and those near the top, where trainers put them. The bound of
    `tensors_in` holds here too, which looks at more.
    """
    modules: list[tuple[str, str]] = []
    seen: set[int] = set()
    waiting: list[tuple[tuple[str, ...], Any]] = [((), loaded.root)]
    while waiting:
        path, value = waiting.pop()
        if not isinstance(value, BRANCHES) or id(value) in seen or len(path) > _NEAR:
            continue
        seen.add(id(value))
        parts = list(parts_of(value))
        if isinstance(value, Construction) and {"_parameters", "_modules"} <= _attributes(value):
            maker = value.maker
            name = maker.name[:MAX_NAME] if isinstance(maker, Named) else "torch.nn.Module"
            modules.append((".".join(path), name))
            continue
        waiting += [
            ((*path, key), part)
            for key, part in reversed(parts)
            if isinstance(key, str) and len(key) <= MAX_NAME
        ]
    return modules[:_MOST_MODULES]


def _attributes(value: Construction) -> set[str]:
    states = value.state[:2] if isinstance(value.state, tuple) else (value.state,)
    pairs = [state.pairs for state in states if isinstance(state, Construction)]
    return {key for some in pairs for key, _ in some if isinstance(key, str)}
