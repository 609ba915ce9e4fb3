"""One small typed registry: a name stands for a thing, and a misspelt name gets the nearest one."""

from collections.abc import Callable, Iterable, Iterator
from importlib import import_module
from pkgutil import iter_modules
from typing import Generic, TypeVar

from kdgap.errors import BadInputError, nearest

T = TypeVar("T")


class Registry(Generic[T]):
    """Named things of one kind, in the order they were registered.

    Args:
        kind: what an entry is called in error messages, such as "model".
        listing: says where the names are listed, where they are too many for an error message.
    """

    def __init__(self, kind: str, listing: str = "") -> None:
        self.kind, self.listing = kind, listing
        self._entries: dict[str, T] = {}
        self._sources: dict[str, Callable[[str], T]] = {}
        self._listed: dict[str, Callable[[], list[str]]] = {}

    def register(self, name: str) -> Callable[[T], T]:
        """Return a decorator that enters its argument under `name`; a name is taken once."""

        def enter(entry: T) -> T:
            if name in self._entries:
                raise ValueError(f"{self.kind} {name!r} is registered twice")
            self._entries[name] = entry
            return entry

        return enter

    def source(
        self, prefix: str, names: Callable[[], list[str]] | None = None
    ) -> Callable[[Callable[[str], T]], Callable[[str], T]]:
        """Return a decorator that enters what makes an entry of NAME, for names `prefix:NAME`.

        Args:
            prefix: an empty one stands for all that nothing else is entered for; then the whole
                name is given.
            names: lists the names, where they can be listed.
        """

        def enter(make: Callable[[str], T]) -> Callable[[str], T]:
            self._sources[prefix] = make
            if names is not None:
                self._listed[prefix] = names
            return make

        return enter

    def __getitem__(self, name: str) -> T:
        try:
            return self._entries[name]
        except KeyError:
            if entry := self._from_source(name):
                return entry
            known = ", ".join([*self._entries, *(f"{key}:NAME" for key in self._sources if key)])
            raise BadInputError(
                f"unknown {self.kind} {name!r}{nearest(name, self._entries)};"
                f" {self.listing or f'known: {known}'}"
            ) from None

    def _from_source(self, name: str) -> T | None:
        prefix, sign, rest = name.partition(":")
        if not sign:
            return None
        if prefix in self._sources:
            return self._sources[prefix](rest)
        return self._sources[""](name) if "" in self._sources else None

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def sources(self) -> dict[str, Callable[[], list[str]]]:
        """Return what lists the names of each source, by prefix."""
        return dict(self._listed)

    def items(self) -> list[tuple[str, T]]:
        """Return all (name, entry) pairs in order of registration."""
        return list(self._entries.items())


def read_folder(package: str, path: Iterable[str]) -> None:
    """Import every module of a package, so that a new file there is a new entry of a registry.

    Args:
        package: its name.
        path: its `__path__`. Packages within it are left alone.
    """
    for module in iter_modules(path):
        if not module.ispkg:
            import_module(f"{package}.{module.name}")
