"""What a run is for, as plans, imports and claims name it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

PLAIN = "none"
"""The method of plain training, as files and commands call it."""


def pair_text(teacher: str | None, student: str) -> str:
    """Return `teacher → student`; the student alone of plain training."""
    return f"{teacher} → {student}" if teacher else student


@dataclass(frozen=True)
class Slot:
    """What a run is for: its role, and the names that pairs and claims use.

    Attributes:
        candidate: of a selection, the hyper-parameters that are tried, in words.
        ablation, arm: of an ablation, its name, and `base` or `changed`.
    """

    role: str
    teacher: str | None
    student: str
    method: str
    candidate: str = ""
    ablation: str = ""
    arm: str = ""

    @property
    def variant(self) -> str:
        """What tells it from others of its role, pair and method, to be shown."""
        return f"{self.ablation}: {self.arm}" if self.ablation else self.candidate

    @property
    def text(self) -> str:
        """A readable name, such as `r50 → r18 logit`."""
        pair = pair_text(self.teacher, self.student)
        method = "" if self.method == PLAIN else f" {self.method}"
        return pair + method + (f" ({self.variant})" if self.variant else "")

    @property
    def whole(self) -> "Slot":
        """The role of a pair and method, whichever candidate or arm."""
        return Slot(self.role, self.teacher, self.student, self.method)

    def written(self) -> Mapping[str, object]:
        """Return it as plans and imports hold it."""
        further = ("candidate", "ablation", "arm")
        details = {name: getattr(self, name) for name in further if getattr(self, name)}
        named = ("role", "teacher", "student", "method")
        return {**{name: getattr(self, name) for name in named}, **details}

    @classmethod
    def read(cls, entry: Mapping[str, Any]) -> "Slot":
        """Return what a plan or an import holds; those of before have one `variant`."""
        known = {key: value for key, value in entry.items() if key != "variant"}
        variant = entry.get("variant", "")
        if variant and entry["role"] == "ablation":
            known["ablation"], _, known["arm"] = variant.rpartition(": ")
        elif variant:
            known["candidate"] = variant
        return cls(**known)


def of_first_role(slots: Sequence[Slot]) -> tuple[Slot, ...]:
    """Return what a run is shown as: all of its first role, for it may be a run of several arms."""
    return tuple(dict.fromkeys(slot for slot in slots if slot.role == slots[0].role))


def slots_text(slots: Sequence[Slot]) -> str:
    """Return in words what a run is shown as."""
    return "; ".join(slot.text for slot in of_first_role(slots))
