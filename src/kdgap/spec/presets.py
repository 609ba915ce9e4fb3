"""Published recipes: what a paper's authors trained with, pair by pair, under a name.

A preset stands in place of keys that are not written; whatever a file says itself wins. Values are
those of the authors' public code, read at the commits that each `source` names.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from kdgap.errors import BadInputError, nearest
from kdgap.spec.validation import Scalar

Recipe = Mapping[str, Scalar | list[int]]
Hyperparameters = Mapping[str, Mapping[str, Scalar]]


@dataclass(frozen=True)
class Preset:
    """One row of a paper's table.

    Attributes:
        source: whose code, and at which commit.
        teacher, student: the architectures.
        recipe: fields of `RecipeSpec`.
        methods: method → hyper-parameters by field, where they are not the method's defaults.
    """

    source: str
    teacher: str
    student: str
    recipe: Recipe
    methods: Hyperparameters

    def written(self) -> Mapping[str, object]:
        """Return it in plain types."""
        return asdict(self)


_DATA = "cifar100"
_STEPS: Recipe = {
    "epochs": 240,
    "batch_size": 64,
    "lr": 0.05,
    "momentum": 0.9,
    "nesterov": False,
    "weight_decay": 5e-4,
    "schedule": "step",
    "milestones": [150, 180, 210],
    "factor": 0.1,
    "clip_scope": "off",
}
"""Of RepDistiller, and of every table of CIFAR-100 that took its numbers over."""

_KD = {"alpha": 0.9, "temperature": 4.0}
_REPDISTILLER: Hyperparameters = {
    "logit": _KD,
    "fitnet": {"weight": 100.0, "stage": 2},
    "at": {"weight": 1000.0},
    "nst": {"weight": 50.0},
    "sp": {"weight": 3000.0},
    "pkt": {"weight": 30000.0},
    "rkd": {"distance_weight": 25.0, "angle_weight": 50.0},
    "cc": {"form": "mmd", "weight": 0.02},
    "vid": {"weight": 1.0},
    "crd": {"weight": 0.8, "negatives": 16384, "temperature": 0.07, "momentum": 0.5},
}
_REP = (
    "RepDistiller, scripts/run_cifar_distill.sh at b84f547, whose weights its tables use for every"
    " pair; its ResNets have option B shortcuts"
)
_MDISTILLER = "mdistiller, configs/cifar100 at a08d46f; its ResNets have option B shortcuts"
_PAIRS = (("resnet56", "resnet20"), ("resnet110", "resnet20"), ("resnet110", "resnet32"))
_DKD_BETA = {("resnet56", "resnet20"): 2.0, ("resnet110", "resnet32"): 2.0}

_REVIEW = "ReviewKD's own code at cede6ea; its ResNets have option B shortcuts"
_REVIEW_WEIGHT = {("resnet56", "resnet20"): 0.6, ("resnet110", "resnet32"): 1.0}
_LARGER_BATCH = {**_STEPS, "batch_size": 128, "lr": 0.1, "nesterov": True}

PRESETS: dict[str, Preset] = {
    **{
        f"repdistiller/{teacher}-{student}": Preset(_REP, teacher, student, _STEPS, _REPDISTILLER)
        for teacher, student in _PAIRS
    },
    **{
        f"mdistiller/{teacher}-{student}": Preset(
            _MDISTILLER, teacher, student, _STEPS, {"logit": _KD, "dkd": {"beta": beta}}
        )
        for (teacher, student), beta in _DKD_BETA.items()
    },
    **{
        f"reviewkd/{teacher}-{student}": Preset(
            _REVIEW, teacher, student, _LARGER_BATCH, {"reviewkd": {"weight": weight}}
        )
        for (teacher, student), weight in _REVIEW_WEIGHT.items()
    },
}
"""Name → preset."""


def preset(name: object) -> Preset:
    """Return a preset.

    Raises:
        BadInputError: there is none of this name.
    """
    if not isinstance(name, str) or name not in PRESETS:
        known = ", ".join(PRESETS)
        raise BadInputError(f"unknown preset {name!r}{nearest(str(name), PRESETS)}; known: {known}")
    return PRESETS[name]


def flat_keys(name: object) -> dict[str, object]:
    """Return what a flat file need not say beside a preset, but for the method's own keys.

    Raises:
        BadInputError: there is none of this name.
    """
    chosen = preset(name)
    return {"data": _DATA, "model": chosen.student, "teacher": chosen.teacher, **chosen.recipe}
