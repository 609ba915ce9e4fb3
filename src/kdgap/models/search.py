"""Networks by a part of their names, from all sources; starts without torch."""

from dataclasses import dataclass
from difflib import get_close_matches

from kdgap.errors import BadInputError
from kdgap.models.entry import MODELS

OURS = "kdgap"
"""The source of our own networks."""


@dataclass(frozen=True)
class Matches:
    """What a search found.

    Attributes:
        names: names as a configuration writes them, by source.
        unavailable: why a source was left out, a sentence each.
    """

    names: dict[str, list[str]]
    unavailable: list[str]


def is_network(name: str) -> bool:
    """Whether a text is the whole name of a network, and not a part of some.

    What is written `package.module:factory` counts as one.
    """
    prefix, sign, rest = name.partition(":")
    if not sign:
        return name in MODELS
    names = MODELS.sources().get(prefix)
    # timm calls other weights of a network by a tag behind a dot.
    return names is None or {rest, rest.split(".")[0]} & set(names()) != set()


def search(text: str) -> Matches:
    """Return every network whose name contains a text, in any case; importing sources takes time.

    Raises:
        BadInputError: there is none; with the names that are nearest.
    """
    prefix, sign, _ = text.partition(":")
    known: dict[str, list[str]] = {} if sign else {OURS: list(MODELS)}
    unavailable: list[str] = []
    for source, names in MODELS.sources().items():
        if sign and source != prefix:
            continue
        try:
            known[source] = [f"{source}:{name}" for name in names()]
        except BadInputError as error:  # an extra that is not installed
            unavailable.append(str(error))
    matches = {
        source: [name for name in names if text.lower() in name.lower()]
        for source, names in known.items()
    }
    if not any(matches.values()):
        raise BadInputError(f"no network has {text!r} in its name{_nearest(text, known)}")
    return Matches({source: names for source, names in matches.items() if names}, unavailable)


def _nearest(text: str, known: dict[str, list[str]]) -> str:
    bare = {name.rpartition(":")[2]: name for names in known.values() for name in names}
    close = get_close_matches(text.rpartition(":")[2], list(bare), n=3, cutoff=0.5)
    listed = ", ".join(bare[name] for name in close)
    return f" (near: {listed})" if listed else "; `kdgap models` lists ours"
