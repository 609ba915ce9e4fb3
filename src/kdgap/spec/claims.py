"""What is claimed of runs, and how they are judged: parts of a study, or a file of their own.

Apart from the study, so that what was imported is judged without loading what plans a study.
"""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    StringConstraints,
    field_validator,
    model_serializer,
)

from kdgap.spec.validation import Strict, Text

Name = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=60, strict=True)
]
Arm = Literal["base", "changed"]
"""An arm of an ablation."""


class _Lean(Strict):
    """Leaves fields that joined later out of its dump at their defaults: old locks stay valid."""

    later: ClassVar[dict[str, object]] = {}

    @model_serializer(mode="wrap")
    def _lean(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {k: v for k, v in dump(self).items() if k not in self.later or v != self.later[k]}


class Term(_Lean):
    """One arm of a claim, with its weight: a slot, or an arm of an ablation."""

    later: ClassVar[dict[str, object]] = {"arm": "changed"}
    weight: float = Field(ge=-1e6, le=1e6)
    teacher: Name | None = None
    student: Name | None = None
    method: Text | None = None
    ablation: Name | None = None
    arm: Arm = "changed"

    @field_validator("weight")
    @classmethod
    def _weighs_something(cls, weight: float) -> float:
        if abs(weight) < 1e-6:
            raise ValueError(f"a weight of {weight:g} compares nothing")
        return weight


class Claim(_Lean):
    """A contrast: a weighted sum of gains or accuracies, and what is claimed of it.

    Attributes:
        name: a short name.
        text: the claim in words.
        measure: `gain` (method minus baseline of the same student) or `accuracy`.
        terms: what is summed.
        says: the sum is `above` zero, `below` zero, `not_below` it by the smallest effect of
            interest, or `nothing` as large as that in either direction.
    """

    later: ClassVar[dict[str, object]] = {"says": "above"}
    name: Name
    text: Text
    measure: Literal["gain", "accuracy"] = "gain"
    terms: list[Term] = Field(min_length=1, max_length=1000)
    says: Text = "above"


class Statistics(_Lean):
    """How the study is judged, declared before it is run.

    Attributes:
        smallest_effect_pp: the smallest gain of interest, in percentage points.
        expected_std_pp: a guess of the standard deviation over seeds, for the floors.
        test: `welch` compares independent arms, `paired` runs of one seed.
        confidence: level of the intervals.
        power: of the floors and of the seeds that would be needed.
        reference: a method that every other is compared with, beside plain training.
    """

    later: ClassVar[dict[str, object]] = {"reference": None}
    smallest_effect_pp: float = Field(default=0.2, gt=0, le=100)
    expected_std_pp: float = Field(default=0.2, gt=0, le=100)
    test: Literal["welch", "paired"] = "welch"
    confidence: float = Field(default=0.95, gt=0.5, le=0.9999)
    power: float = Field(default=0.8, gt=0.5, le=0.99)
    reference: Text | None = None


class ClaimsFile(Strict):
    """Claims about runs that somebody else planned, and how they are judged.

    Attributes:
        description: one line.
        title: what the runs are called on pages, such as a paper's title.
        paper: where they were published: authors and year, an identifier or an address.
        data: what they were trained and tested on, in words, for runs whose files do not say it.
        main_claim: the name of the claim that stands first on every page; else the first one.
        claims: what is claimed.
        statistics: how it is judged; left out = the study's own, or the defaults for an import.
        primary: which weights' test accuracy decides; left out = the study's own.
    """

    description: Text = "claims"
    title: Text | None = None
    paper: Text | None = None
    data: Text | None = None
    main_claim: Name | None = None
    claims: list[Claim] = Field(min_length=1, max_length=1000)
    statistics: Statistics | None = None
    primary: Literal["best", "last"] | None = None
