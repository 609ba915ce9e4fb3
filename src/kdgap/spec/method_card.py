"""What a method declares, as plans and imports hold it, for whoever reads them without torch.

A card that was read is written again as it was: files of before lack some keys, files of later
versions have more, and neither is any business of those who pass them on.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, get_type_hints

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, TypeAdapter
from pydantic_core import CoreSchema, core_schema

OWN_KEYS = (
    *("label", "colour", "summary", "citation"),
    *("hyperparameters", "flat", "soft_targets", "mixes"),
)


@dataclass(frozen=True, slots=True)
class MethodCard:
    """What a method says of itself.

    Attributes:
        label: what people call it, in tables and figures; empty if unknown.
        colour: its place among the colours of figures; None = the next that is free.
        summary: one line for listings.
        citation: the paper.
        hyperparameters: the fields.
        flat: field → its flat key, where they differ; None if that was not written down.
        soft_targets: the hyper-parameter at whose temperature the teacher's probabilities are the
            targets; None if they are not. `softened_by` also reads what plans of before say.
        mixes: the hyper-parameter that shares one weight between the terms and the cross-entropy;
            None if none does. `mixed_by` also reads what plans of before say.
        further: what a file holds besides these.
        keys: what a file holds at all, in its order.
    """

    label: str = ""
    colour: int | None = None
    summary: str = ""
    citation: str = ""
    hyperparameters: Sequence[str] = ()
    flat: Mapping[str, str] | None = None
    soft_targets: str | bool | None = None
    mixes: str | None = None
    further: Mapping[str, object] = field(default_factory=dict)
    keys: tuple[str, ...] = OWN_KEYS

    @property
    def softened_by(self) -> str | None:
        """The hyper-parameter that softens the targets; None if none does."""
        if isinstance(self.soft_targets, bool):  # as plans of before say it
            return "temperature" if self.soft_targets else None
        return self.soft_targets or None

    @property
    def mixed_by(self) -> str | None:
        """The hyper-parameter that shares one weight; None if none does."""
        if "mixes" in self.keys:
            return self.mixes
        # Before it was declared, `alpha` was that wherever it was no key of a method's own.
        own = "alpha" in self.hyperparameters and "alpha" not in (self.flat or {})
        return "alpha" if own else None

    @property
    def method(self) -> str | None:
        """The registered method, where a study calls it by a name of its own."""
        given = self.further.get("method")
        return None if given is None else str(given)

    def named(self, label: str, method: str) -> "MethodCard":
        """Return the card of what a study calls by a name of its own."""
        further = {**self.further, "method": method}
        return replace(self, label=label, colour=None, further=further, keys=(*self.keys, "method"))

    def written(self) -> Mapping[str, object]:
        """Return it as plans, imports and analyses hold it."""
        return {
            key: self.further[key] if key in self.further else getattr(self, key)
            for key in self.keys
        }

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> "MethodCard":
        """Return what a file holds of a method, which may be nothing."""
        known = {key: document[key] for key in OWN_KEYS if key in document}
        further = {key: value for key, value in document.items() if key not in known}
        return cls(**known, further=further, keys=tuple(document))

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Let an analysis hold cards: its document has them as they are written."""
        return core_schema.no_info_after_validator_function(
            cls.read, handler.generate_schema(Mapping[str, Any])
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, object]:
        """Name the keys in the schema of an analysis; a file may hold others, or lack some."""
        kinds = {name: kind for name, kind in get_type_hints(cls).items() if name in OWN_KEYS}
        properties = {name: TypeAdapter(kind).json_schema() for name, kind in kinds.items()}
        return {"type": "object", "properties": properties, "additionalProperties": True}


UNKNOWN = MethodCard.read({})
"""Of a method of which nothing was written down."""


def read_cards(documents: Mapping[str, Mapping[str, Any]]) -> dict[str, MethodCard]:
    """Return name → card of what a file holds of its methods."""
    return {name: MethodCard.read(document) for name, document in documents.items()}
