"""MLKD: probabilities matched image by image, over the batch and over the classes, in two views."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from kdgap.deferred import F, torch
from kdgap.methods.method import STRICT, CrossEntropyWeight, Step, Term, Weight, method
from kdgap.methods.on_logits import OnLogits, Standardise
from kdgap.methods.shared import in_float32, wide

if TYPE_CHECKING:
    from torch import Tensor, nn

    from kdgap.models.output import Output
    from kdgap.spec.validation import Scalar

Form = Annotated[
    Literal["plain", "masked", "published"],
    Field(description="all images and classes, the unsure ones alone, or as the authors' code"),
]
OfInstances = Annotated[Weight, Field(description="share of the divergence of each image")]
OfBatches = Annotated[Weight, Field(description="share of the products of images")]
OfClasses = Annotated[Weight, Field(description="share of the products of classes")]
TEMPERATURES = (2.0, 3.0, 4.0, 5.0, 6.0)
_MISREAD = (2.0, 6.0)
"""Temperatures at which the authors' code takes the weak view for the strong one."""
Pair = tuple["Tensor", "Tensor"]
"""Logits of student and teacher for one view, `[B, C]`."""


def _instance(logits: Pair, t: float, images: Tensor) -> Tensor:
    """Return T^2 times the mean over all images of the counted images' divergences."""
    log_s, log_t = ((z / t).log_softmax(1) for z in logits)
    apart = (log_t.exp() * (log_t - log_s)).sum(1)
    return t**2 * (apart * images).mean()


def _products(logits: Pair, t: float, counted: Tensor, *, of_classes: bool) -> Tensor:
    """Return the squared difference of both sides' products of rows or columns, over their number.

    What is not counted is left out as a column of the products.
    """
    s, teacher = ((z / t).softmax(1) for z in logits)
    if of_classes:
        s, teacher = s.t(), teacher.t()
    apart = teacher @ teacher.t() - s @ s.t()
    return (apart.square() * counted).sum() / len(s)


@method
@dataclass(frozen=True, config=STRICT)
class Mlkd(OnLogits):
    """Three divergences, each summed over T = 2, 3, 4, 5, 6 and over two views of each image.

    With A = softmax(z / T): `T^2 mean over images of KL`, `|A_t A_t' - A_s A_s'|^2 / B` and
    `|A_t' A_t - A_s' A_s|^2 / C`. The views are the batch, and the batch with RandAugment and
    cutout besides; the cross-entropies of both are added. Student and teacher answer twice an
    image: a row beside it has to get as many images, or FLOPs. The products of images grow with the
    batch size; the weights are for 64.

    `masked` leaves out images whose top probability, and classes whose summed probability, is above
    the median of the batch, by the teacher at T = 1 on the first view. `published` is what the
    authors' code computes (mdistiller/distillers/KD_ours.py): there the masks meet sums that are
    averaged already, so that they weigh the first view by the share of what they keep; products of
    the second view are dropped; and at T = 2 and 6 the second view's divergence is the first's.
    With `standardise` the first of the three gets standardised logits, as in LSKD.
    """

    name: ClassVar[str] = "mlkd"
    label: ClassVar[str] = "MLKD"
    summary: ClassVar[str] = "images, batch and classes at five temperatures, two views"
    citation: ClassVar[str] = "Jin et al. 2023, Multi-Level Logit Distillation (CVPR 2023)"
    views: ClassVar[int] = 2
    zero_at_equality: ClassVar[bool] = True
    flat_names: ClassVar[Mapping[str, str]] = {
        "kd_weight": "weight",
        "mlkd_instance_weight": "instance_weight",
        "mlkd_batch_weight": "batch_weight",
        "mlkd_class_weight": "class_weight",
        "mlkd_form": "form",
    }
    neutral: ClassVar[Mapping[str, Scalar]] = {
        **OnLogits.neutral,
        "instance_weight": 1.0,
        "batch_weight": 1.0,
        "class_weight": 1.0,
    }
    examples: ClassVar[tuple[Mapping[str, Scalar], ...]] = (
        {},
        {"form": "masked"},
        {"form": "published"},
        {"standardise": True},
        {"standardise": True, "form": "masked"},
        {"instance_weight": 0.5, "batch_weight": 2.0, "class_weight": 0.25},
    )

    ce_weight: CrossEntropyWeight = 0.1
    weight: Weight = 0.9
    instance_weight: OfInstances = 1.0
    batch_weight: OfBatches = 1.0
    class_weight: OfClasses = 1.0
    form: Form = "plain"
    standardise: Standardise = False

    def compares_images(self) -> bool:
        """Compare them: by products of pairs and of classes over the batch."""
        return True

    def terms(
        self, student: Output, teacher: Output, step: Step, parts: nn.Module
    ) -> dict[str, Term]:
        """Return the three divergences, and the second view's cross-entropy, `strong_ce`."""
        assert step.strong is not None
        views = [(student, teacher), step.strong]
        plain = [(wide(s.logits), wide(t.logits)) for s, t in views]
        of_images = [self.seen(s, t) for s, t in views]
        seen = [(wide(s.logits), wide(t.logits)) for s, t in of_images]
        images, classes = self._counted(plain[0][1])
        published = self.form == "published"
        instance = batch = by_class = torch.zeros((), device=images.device)
        with in_float32(student.logits):
            for t in TEMPERATURES:
                for number, (own, pair) in enumerate(zip(seen, plain, strict=True)):
                    if published and number:
                        source = seen[0] if t in _MISREAD else own
                        instance = instance + _instance(source, t, torch.ones_like(images))
                        continue
                    instance = instance + _instance(own, t, images)
                    batch = batch + _products(pair, t, images, of_classes=False)
                    by_class = by_class + _products(pair, t, classes, of_classes=True)
        second = F.cross_entropy(plain[1][0], step.labels)
        return {
            "instance": Term(self.weight * self.instance_weight, instance),
            "batch": Term(self.weight * self.batch_weight, batch),
            "class": Term(self.weight * self.class_weight, by_class),
            "strong_ce": Term(self.ce_weight, second, of_labels=True),
        }

    def _counted(self, teacher: Tensor) -> tuple[Tensor, Tensor]:
        """Return what each image and each class counts, `[B]` and `[C]`."""
        p = teacher.softmax(1)
        if self.form == "plain":
            return torch.ones_like(p[:, 0]), torch.ones_like(p[0])
        kept = [(x <= x.quantile(0.5)).to(p.dtype) for x in (p.amax(1), p.sum(0))]
        if self.form == "published":
            kept = [mask.mean().expand_as(mask) for mask in kept]
        return kept[0], kept[1]
