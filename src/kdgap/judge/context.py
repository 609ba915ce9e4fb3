"""What all parts of one analysis look at: the runs in their arms, and how they are judged."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from kdgap.errors import ClaimError
from kdgap.judge.analysis import Level, Reference, Settings
from kdgap.judge.claims import Weighted, baseline_of, weighted, weighted_baseline
from kdgap.judge.comparison import View
from kdgap.judge.evidence import Arm, Evidence, ids
from kdgap.judge.family import Judged
from kdgap.judge.names import like, method_meant
from kdgap.stats.contrast import mean_and_std
from kdgap.stats.proportion import mean_interval


@dataclass(frozen=True)
class Context:
    """One analysis at hand."""

    evidence: Evidence

    @cached_property
    def arms(self) -> list[Arm]:
        """Every arm, small students first, then small teachers, methods as the study has them."""
        return sorted(self.evidence.arms(), key=self._order)

    @cached_property
    def tried(self) -> list[Arm]:
        """The configurations that selection tried, in the same order."""
        return sorted(self.evidence.arms(("selection",)), key=self._order)

    @cached_property
    def finals(self) -> list[Arm]:
        """The methods' arms, one a gain."""
        return self.of("final")

    @property
    def primary(self) -> View:
        """How the study is looked at first."""
        return View(self.evidence.primary, self.evidence.statistics.test)

    @property
    def unpermuted(self) -> View:
        """The same without permutation p-values, which are only shown beside the first way."""
        return replace(self.primary, permute=False)

    @cached_property
    def settings(self) -> Settings:
        """How the study is judged."""
        statistics = self.evidence.statistics
        return Settings(
            **statistics.model_dump(mode="json", exclude={"reference"}),
            primary=self.evidence.primary,
            alpha=round(1 - statistics.confidence, 12),
            reference=self.reference,
        )

    @cached_property
    def reference(self) -> Reference | None:
        """The method that the others are compared with, beside plain training."""
        return reference_of(self.evidence)

    def of(self, role: str) -> list[Arm]:
        """Return the arms of a role, in order."""
        return [arm for arm in self.arms if arm.slot.role == role]

    def baseline(self, arm: Arm) -> Arm | None:
        """Return what an arm's gain is measured from."""
        return baseline_of(arm, self.baselines)

    @cached_property
    def baselines(self) -> list[Arm]:
        """The arms of plain training, in order."""
        return self.of("baseline")

    def gain_terms(self, arm: Arm) -> list[Weighted]:
        """Return an arm minus its baseline."""
        plain = weighted_baseline(arm, arm.slot.student, -1.0, self.baselines)
        return [weighted(arm, 1.0), plain]

    def values(self, arm: Arm | None) -> list[float]:
        """Return test accuracy in percent over seeds, by the primary weights."""
        return [] if arm is None else list(arm.by_seed(self.primary.weights).values())

    def numbers(self, judged: Judged) -> Mapping[str, Any]:
        """Return the fields that gains, contrasts and ablations share, by name."""
        return vars(judged.numbers(self.evidence.statistics))

    def level(self, arm: Arm) -> Level:
        """Return the mean accuracy of an arm over its seeds."""
        values = arm.by_seed(self.primary.weights)
        mean, std = mean_and_std(list(values.values())) if values else (None, None)
        interval = None
        if values:
            interval = mean_interval(list(values.values()), self.evidence.statistics.confidence)
        means = {}
        for weights in ("best", "last"):
            counted = list(arm.by_seed(weights).values())
            means[weights] = mean_and_std(counted)[0] if counted else None
        return Level(
            name=arm.slot.student,
            slot=arm.slot.text,
            configuration=arm.configuration,
            n=len(values),
            mean_pp=mean,
            std_pp=std,
            ci95_pp=interval,
            mean_best_pp=means["best"],
            mean_last_pp=means["last"],
            epochs=arm.epochs,
            seeds=tuple(values),
            missing=tuple(arm.missing(self.primary.weights)),
            runs=ids(arm),
        )

    def _order(self, arm: Arm) -> tuple[Any, ...]:
        slot, methods = arm.slot, list(self.evidence.methods)

        def size(name: str | None) -> tuple[int, str]:
            return self.evidence.models.get(name or "", {}).get("parameters") or 0, name or ""

        method = methods.index(slot.method) if slot.method in methods else len(methods)
        return size(slot.student), size(slot.teacher), method, slot.variant, str(arm.parameters)


def reference_of(evidence: Evidence) -> Reference | None:
    """Return the method that the others are compared with, beside plain training; None without.

    Raises:
        ClaimError: the runs have no such method, or several arms are of it.
    """
    name, methods = evidence.statistics.reference, evidence.methods
    if name is None:
        return None
    known = list(dict.fromkeys(s.method for s in evidence.slots if s.role == "final"))
    method = method_meant(name, known, methods, "reference")
    if method is None:
        raise ClaimError(
            f"reference {name!r} is no method of these runs{like(name, known, methods)};"
            f" they have {', '.join(known) or 'none'}"
        )
    return Reference(method=method, label=evidence.label(method))
