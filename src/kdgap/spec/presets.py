"""Published recipes: what a paper's authors trained with, pair by pair, under a name.

A preset stands in place of keys that are not written; whatever a file says itself wins. Values are
those of the authors' public code, read at the commits that each `source` names.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass

from kdgap.errors import BadInputError, nearest
from kdgap.spec.method_name import SEPARATOR
from kdgap.spec.validation import Scalar

Recipe = Mapping[str, Scalar | list[int]]
Hyperparameters = Mapping[str, Mapping[str, Scalar]]
Pair = tuple[str, str]


@dataclass(frozen=True)
class Preset:
    """One row of a paper's table.

    Attributes:
        source: whose code, and at which commit.
        teacher, student: the architectures.
        recipe: fields of `RecipeSpec`.
        methods: method → hyper-parameters by field, where they are not the method's defaults.
            Several methods of one run, or one with a weight beside the cross-entropy's, stand under
            their one name, `crd+logit` and `logit+`; see `method_name`.
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
_R56_R20, _R110_R20, _R110_R32 = (
    ("resnet56", "resnet20"),
    ("resnet110", "resnet20"),
    ("resnet110", "resnet32"),
)
_THREE_PAIRS = (_R56_R20, _R110_R20, _R110_R32)
_OPTION_B = "; its ResNets have option B shortcuts"
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


def _presets(
    code: str,
    source: str,
    methods: Mapping[Pair, Hyperparameters],
    recipe: Recipe = _STEPS,
) -> dict[str, Preset]:
    """Return the presets of one code base by name."""
    return {
        f"{code}/{teacher}-{student}": Preset(source, teacher, student, recipe, of_pair)
        for (teacher, student), of_pair in methods.items()
    }


def _alike(pairs: Iterable[Pair], methods: Hyperparameters) -> Mapping[Pair, Hyperparameters]:
    """Return the same hyper-parameters for every pair."""
    return dict.fromkeys(pairs, methods)


_KD = {"alpha": 0.9, "temperature": 4.0}
_CRD = {"weight": 0.8, "negatives": 16384, "temperature": 0.07, "momentum": 0.5}
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
    "crd": _CRD,
    "crd+logit": {
        "ce_weight": 1.0,
        "logit_weight": 1.0,
        "logit_temperature": 4.0,
        **{f"crd_{field}": value for field, value in _CRD.items()},
    },
}
_REP = (
    "RepDistiller, scripts/run_cifar_distill.sh at b84f547, whose weights its tables use for every"
    f" pair{_OPTION_B}"
)

_DKD_BETA = {_R56_R20: 2.0, _R110_R32: 2.0}
_MDISTILLER = (
    "mdistiller, configs/cifar100 at a08d46f, and for ofd, whose file there is of another pair,"
    f" mdistiller/engine/cfg.py, which has one weight for every pair{_OPTION_B}"
)

_REVIEW = f"ReviewKD's own code at cede6ea{_OPTION_B}"
_REVIEW_WEIGHT = {_R56_R20: 0.6, _R110_R32: 1.0}
_LARGER_BATCH = {**_STEPS, "batch_size": 128, "lr": 0.1, "nesterov": True}

_CAT_KD = f"GzyAftermath/CAT-KD, configs/cifar100/CAT_KD at 2657a68{_OPTION_B}"
_CAT_KD_WEIGHT = {_R56_R20: 0.7, _R110_R32: 1.8}

_CTKD = f"zhengli97/CTKD, scripts/run_cifar_distill.sh at 74a4c2e{_OPTION_B}"

_DIST = (
    "DIST: the pair is in README.md of hunto/DIST_KD at 2418f18, the numbers in"
    " classification/configs/strategies/distill/dist_cifar.yaml of the same author's"
    f" hunto/LocalMamba at 45dbff7{_OPTION_B}"
)

_LSKD = (
    "sunshangquan/logit-standardization-KD: temperatures and weights in the names of the logs that"
    " README.md links at f6e5aa5; tools/train.py at 6b58661, mdistiller/engine/cfg.py at 3ec213f,"
    f" CTKD/scripts/run_cifar_distill.sh at 2ece47f{_OPTION_B}"
)
_LSKD_KD = {_R56_R20: (2.0, 9.0), _R110_R20: (4.0, 12.0), _R110_R32: (2.0, 9.0)}
"""Temperature, and weight of the divergence."""
_LSKD_DKD = {_R56_R20: (3.0, 18.0), _R110_R20: (2.0, 15.0), _R110_R32: (2.0, 15.0)}
"""Temperature, and what multiplies the alpha of 1 and the beta of 2."""
_LSKD_CTKD = {"ce_weight": 0.1, "ctkd_weight": 9.0, "ctkd_ramp": 10, "ctkd_standardise": True}


def _lskd(pair: Pair) -> Hyperparameters:
    kd_temperature, kd_weight = _LSKD_KD[pair]
    temperature, times = _LSKD_DKD[pair]
    return {
        "logit+": {
            "ce_weight": 0.1,
            "logit_weight": kd_weight,
            "logit_temperature": kd_temperature,
            "logit_standardise": True,
        },
        "ctkd+": _LSKD_CTKD,
        "dkd": {
            "alpha": times,
            "beta": 2.0 * times,
            "temperature": temperature,
            "standardise": True,
        },
    }


_MLKD = (
    "Jin-Ying/Multi-Level-Logit-Distillation, configs/cifar100/ours at 5ee473f and"
    f" mdistiller/engine/cfg.py at 6327e73{_OPTION_B}"
)

_NKD = (
    "yzd-v/cls_KD, configs/distillers/cifar100 at 87a7197 and configs/resnet at 7d838f6; 200 epochs"
    " as in what they build on, configs/_base_/schedules/cifar10_bs128.py of open-mmlab/mmpretrain"
    " at 24bcf06"
)
_NKD_STEPS = {
    **_STEPS,
    "epochs": 200,
    "batch_size": 128,
    "lr": 0.1,
    "milestones": [60, 120, 160],
    "factor": 0.2,
}

_RLD = (
    "zju-SWJ/RLD, configs/cifar100/rld and mdistiller/engine/cfg.py at 95224f3, which has one set"
    f" of weights for every pair{_OPTION_B}"
)
_RLD_WEIGHTS = {
    "ce_weight": 1.0,
    "alpha": 1.0,
    "beta": 8.0,
    "confidence_temperature": 1.0,
    "temperature": 4.0,
    "warmup": 20,
}

PRESETS: dict[str, Preset] = {
    **_presets("repdistiller", _REP, _alike(_THREE_PAIRS, _REPDISTILLER)),
    **_presets(
        "mdistiller",
        _MDISTILLER,
        {
            pair: {"logit": _KD, "dkd": {"beta": beta}, "ofd": {"weight": 1.0}}
            for pair, beta in _DKD_BETA.items()
        },
    ),
    **_presets(
        "reviewkd",
        _REVIEW,
        {pair: {"reviewkd": {"weight": weight}} for pair, weight in _REVIEW_WEIGHT.items()},
        _LARGER_BATCH,
    ),
    **_presets(
        "cat_kd",
        _CAT_KD,
        {
            pair: {"cat_kd": {"weight": weight, "pool": 2, "normalise": False}}
            for pair, weight in _CAT_KD_WEIGHT.items()
        },
    ),
    **_presets("ctkd", _CTKD, {_R56_R20: {"ctkd": {"alpha": 0.9, "ramp": 10}}}),
    **_presets(
        "dist",
        _DIST,
        {_R56_R20: {"dist": {"weight": 2.0, "beta": 1.0, "gamma": 1.0, "temperature": 4.0}}},
    ),
    **_presets("lskd", _LSKD, {pair: _lskd(pair) for pair in _THREE_PAIRS}),
    **_presets(
        "mlkd",
        _MLKD,
        _alike(
            (_R56_R20, _R110_R32),
            {"mlkd": {"ce_weight": 0.1, "weight": 0.9, "form": "published"}},
        ),
        {**_STEPS, "lr": 0.025},
    ),
    **_presets(
        "nkd",
        _NKD,
        {("resnet34", "resnet18"): {"nkd": {"gamma": 3.5, "temperature": 3.0}}},
        _NKD_STEPS,
    ),
    **_presets("rld", _RLD, _alike(_THREE_PAIRS, {"rld": _RLD_WEIGHTS})),
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


def preset_values(name: object, method: str) -> Mapping[str, Scalar]:
    """Return the hyper-parameters that a preset has for a method, by field; none if it has none.

    Args:
        name: the preset.
        method: one method, or several by their one name.

    Raises:
        BadInputError: there is no such preset, or it has the method only as a list of one. Taking
            the method's defaults there would train something else than the row that was asked for.
    """
    known = preset(name).methods
    if method not in known and f"{method}{SEPARATOR}" in known:
        raise BadInputError(
            f"{name} has {method} with a weight beside the cross-entropy's own, which is a list of"
            f" one method: write [{method}]"
        )
    return known.get(method, {})


def recipe_beside(name: object, written: Mapping[str, object]) -> Recipe:
    """Return a preset's recipe, without milestones where the file has a schedule without them.

    Raises:
        BadInputError: there is none of this name, or its milestones are beyond the file's epochs.
    """
    recipe, epochs = dict(preset(name).recipe), written.get("epochs")
    if written.get("schedule") == "cosine":
        recipe.pop("milestones", None)
    own = [] if "milestones" in written else recipe.get("milestones")
    if isinstance(own, list) and isinstance(epochs, int) and any(at >= epochs for at in own):
        raise BadInputError(
            f"{name} lowers the learning rate after epochs {own}, and epochs is {epochs}; give"
            " milestones that fit, or schedule: cosine"
        )
    return recipe


def flat_keys(name: object, written: Mapping[str, object]) -> dict[str, object]:
    """Return what a flat file need not say beside a preset, but for the method's own keys.

    Raises:
        BadInputError: as `recipe_beside`.
    """
    chosen, recipe = preset(name), recipe_beside(name, written)
    return {"data": _DATA, "model": chosen.student, "teacher": chosen.teacher, **recipe}
