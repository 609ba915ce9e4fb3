"""What of others' files is no setting: it says where, when and on what a run was made.

Runs that differ in a setting are never averaged, so a graphics card among the settings would make
five runs of one seed each out of five seeds. A key is bookkeeping

- by name: a word of it tells of a time, a host, a path, a version, hardware, an id, a commit or an
  outcome, and no other one of a hyper-parameter (`batch_size_per_gpu`), a teacher or the data;
- by behaviour: wherever several seeds of what is otherwise one configuration have it, its values
  differ in every run. That is so of `FEWEST` seeds somewhere, no seed has two values of it, the
  files of every method have it, and its name is no hyper-parameter's.

A search at random has one seed with many values, or a key that is a hyper-parameter by name, or one
that only one method has: it stays a set of configurations. Whatever is taken for bookkeeping and
differs between runs is named, and so is what splits a configuration; `--setting KEY` and
`--ignore KEY` say otherwise. Keys within objects are written with dots.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from kdgap.errors import BadInputError, nearest, one_line
from kdgap.spec.identity import canonical_json
from kdgap.store.imports.gate import MOST_SETTINGS, OUTCOMES, OddFileError

_LONGEST_KEY = 1000
_MOST_LIKE = 5000
"""Keys among which one that was mistyped is looked for."""
FEWEST = 3
"""Seeds from which on a key that always differs is bookkeeping: two values may be two settings."""
Why = Literal["told", "name", "behaviour"]
"""Why a key is no setting."""
WHY: dict[Why, str] = {
    "told": "averaged over as told by --ignore",
    "name": "tells of where, when or on what a run was made, so it is no setting",
    "behaviour": "differs in every run of a configuration, so it is taken for no setting",
}
CANNOT_BE_CHOSEN = frozenset({"model", "kd_type", "teacher", "seed", "epochs"})


def _among(words: str) -> frozenset[str]:
    return frozenset(words.split())


# Words of names, however they are put together: `wallTime`, `wall-time` and `wall_time` are alike.
# Of these, one is enough:
_CERTAIN = _among(
    "timestamp timestamps datetime elapsed duration durations seconds secs sec runtime walltime"
    " wallclock throughput latency fps hostname host uuid guid git commit slurm nvidia cuda cudnn"
    " driver pid ppid cmdline argv url uri wandb mlflow vram"
)
# Of these as well, but for a word of a hyper-parameter beside it, as in `batch_size_per_gpu`:
_LIKELY = _among(
    # times
    "time times date day started finished ended created modified second minutes hours wall clock"
    " timing timings speed ips"
    # hosts, hardware, memory
    " hosts node nodes nodename nodelist machine server cluster partition job jobid gpu gpus cpu"
    " cpus device devices hardware accelerator memory mem ram rss gib mib gb mb watts kwh carbon"
    " emissions co2 rocm os platform env environment container docker conda cores threads workers"
    # what tells runs apart, and who keeps book of them
    " id ids tensorboard comet neptune clearml sacred tracker user username email author name title"
    " notes note comment comments description tag tags entity"
    # programs
    " sha sha1 sha256 md5 hash digest checksum branch dirty revision version versions command cmd"
    " script executable python pytorch torch torchvision numpy packages verbose debug progress"
    " checkpoint checkpoints ckpt log logs logger cwd pwd workdir logdir filename"
    # outcomes
    " acc accuracy top1 top5 f1 auc nll ece perplexity ppl metric metrics score scores result"
    " results"
)
_PLACES = _among("path paths dir dirs directory folder root file files")
_NO_PLACES = _among("teacher split drop rate size init pretrained")
_OF_TIME = _among("epoch step iter iteration batch total start end train training eval")
_OUTCOMES = re.compile(
    r"(best|last|final|stopped?|stopping)_(train|val|valid|test|eval)?_?(epoch|loss|step|iteration)"
    r"|(train|val|valid|validation|test|eval|training)_(loss|error|err)(_(best|last|final|min))?"
    r"|(loss|error|err)_(train|val|valid|test|best|last|final|min)"
    r"|(epochs|steps|iterations|iters)_(run|done|trained|completed)"
)
_OF_SETTINGS = _among(
    "lr lrs learning rate rates momentum decay wd alpha beta beta1 beta2 betas gamma delta lambda"
    " lam lambd epsilon eps eta mu sigma tau kappa rho theta temperature temp weight coefficient"
    " coef coeff factor scale ratio margin threshold dropout drop epoch epochs iters iterations"
    " step steps warmup batch batchsize bs size sizes dim dims width depth layer layers heads"
    " channels hidden smoothing mixup cutmix cutout augment augmentation augmentations aug"
    " optimizer optimiser optim scheduler schedule sched loss criterion clip clipping norm"
    " normalization normalisation init pretrained precision amp dtype nesterov t k n feat feature"
    " logit method architecture arch stem model student kd distill distillation teacher data"
    " dataset split limit smoke ema grad gradient accum accumulation bank queue buffer order"
    " function fn rank power interval"
)
_ALWAYS = frozenset(
    {"output", "out", "local_rank", "global_rank", "epoch", "step", "iteration", "global_step"}
)
# All that stands in an object of this name is about it.
_ABOUT = _among(
    "environment env git system host hardware machine slurm versions packages timing timings wandb"
    " mlflow gpu gpus cpu platform paths provenance metadata metrics"
)
# A digest of a teacher's weights is a setting, and so are the digests that our own files hold.
_NEVER = frozenset(
    {*CANNOT_BE_CHOSEN, "teacher_weight_hash", "cell", "settings", "method_parameters", "data"}
)


@dataclass(frozen=True)
class Choices:
    """What an import was told.

    Attributes:
        ignore: keys that are no settings.
        setting: keys that are, whatever they look like.
        percent: whether accuracies are in percent.
    """

    ignore: tuple[str, ...] = ()
    setting: tuple[str, ...] = ()
    percent: bool = False

    def as_json(self) -> Mapping[str, object]:
        """Return them as `import.json` holds them."""
        return {
            "ignore": sorted(set(self.ignore)),
            "setting": sorted(set(self.setting)),
            "percent": self.percent,
        }

    def check(self, known: Iterable[str]) -> None:
        """Refuse keys that no file has, or that cannot be chosen.

        Raises:
            BadInputError: naming the key.
        """
        names = set(known)
        names |= {key[: at.start()] for key in names for at in re.finditer(r"\.", key)}
        for option, keys in (("--ignore", self.ignore), ("--setting", self.setting)):
            for key in keys:
                shown = one_line(key, 60)
                if key in CANNOT_BE_CHOSEN or key in OUTCOMES:
                    kind = "says which run it is" if key in CANNOT_BE_CHOSEN else "is an outcome"
                    raise BadInputError(f"{option} {shown}: {kind}; it cannot be chosen")
                if key not in names:
                    like = nearest(key[:100], sorted(names)[:_MOST_LIKE])
                    raise BadInputError(one_line(f"{option} {shown}: no file has it{like}"))
        if both := set(self.ignore) & set(self.setting):
            raise BadInputError(f"{min(both)}: both --ignore and --setting; which one?")


@lru_cache(4096)
def is_bookkeeping(key: str) -> bool:
    """Whether a key, with dots for objects, is bookkeeping by its name."""
    *objects, last = key.split(".")
    if (*objects, last)[0] in _NEVER:
        return False
    return any(name.lower() in _ABOUT for name in objects) or _tells(last)


@lru_cache(4096)
def is_hyperparameter(key: str) -> bool:
    """Whether the name of a key is that of a hyper-parameter.

    A further seed is none, and a `loss` may be one by name or what a run came to.
    """
    words = _words(key.rpartition(".")[2])
    if key.split(".")[0] in _NEVER:
        return True
    return "seed" not in words and words != {"loss"} and bool(words & _OF_SETTINGS)


def _tells(name: str) -> bool:
    words = _words(name)
    if name in _ALWAYS or words & _CERTAIN or _OUTCOMES.fullmatch("_".join(_in_order(name))):
        return True
    if words & _PLACES:
        return not words & _NO_PLACES
    if ("time" in words and words & _OF_TIME) or {"per", "second"} <= words:
        return True
    return bool(words & _LIKELY) and not words & _OF_SETTINGS


def _in_order(name: str) -> list[str]:
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name[:200])
    return [word for word in re.split(r"[^a-z0-9]+", apart.lower()) if word]


def _words(name: str) -> frozenset[str]:
    return frozenset(_in_order(name))


def leaves(results: Mapping[str, object]) -> dict[str, str]:
    """Return each setting, with those in objects, as one text by its key with dots.

    Raises:
        OddFileError: there are more than a result file has, or a key is too long.
    """
    texts: dict[str, str] = {}
    for key, value in results.items():
        if key not in OUTCOMES:
            _gather(_joined("", key), value, texts)
    return texts


def _gather(key: str, value: Any, texts: dict[str, str]) -> None:
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            _gather(_joined(f"{key}.", name), inner, texts)
    elif value is not None:
        number = isinstance(value, int) and not isinstance(value, bool)
        texts[key] = canonical_json(float(value) if number else value)
        if len(texts) > MOST_SETTINGS:
            raise OddFileError(f"holds over {MOST_SETTINGS:,} settings; a result has a few dozen")


def _joined(above: str, name: str) -> str:
    """Return the key of a name in an object. The object's own is repeated for each name in it."""
    if len(above) + len(name) > _LONGEST_KEY:
        raise OddFileError(f"holds a key of over {_LONGEST_KEY:,} characters")
    return above + name


def without(
    settings: Mapping[str, object], is_aside: Callable[[str], bool], above: str = ""
) -> dict[str, Any]:
    """Return settings without those that are set aside, also within objects.

    Raises:
        OddFileError: a key is too long.
    """
    kept = {}
    for name, value in settings.items():
        key = _joined(above, name)
        if is_aside(key):
            continue
        if not isinstance(value, dict) or not value:
            kept[name] = value
        elif inner := without(value, is_aside, f"{key}."):
            kept[name] = inner
    return kept


def within(key: str, keys: Iterable[str]) -> bool:
    """Whether a key, or an object that it stands in, is among some keys."""
    known = keys if isinstance(keys, set | frozenset | dict) else set(keys)
    return key in known or any(key[: at.start()] in known for at in re.finditer(r"\.", key))


@dataclass(frozen=True)
class Sample:
    """What one file says: its method, its seed, and its settings by key."""

    method: str
    seed: int
    settings: dict[str, str]


def set_aside(samples: list[Sample], choices: Choices) -> dict[str, Why]:
    """Return the keys that are bookkeeping, and why each is.

    Raises:
        BadInputError: a choice names a key that no file has.
    """
    known = dict.fromkeys(key for sample in samples for key in sample.settings)
    choices.check(known)
    aside: dict[str, Why] = {}
    free: set[str] = set()
    for key in known:
        if within(key, choices.setting):
            continue
        if within(key, choices.ignore):
            aside[key] = "told"
        elif is_bookkeeping(key):
            aside[key] = "name"
        elif not is_hyperparameter(key):
            free.add(key)
    by_behaviour: Why = "behaviour"
    return aside | dict.fromkeys(sorted(_always_different(samples, free, aside)), by_behaviour)


def _always_different(
    samples: list[Sample], free: set[str], aside: Mapping[str, Why]
) -> Iterable[str]:
    """Return those of the free keys that have another value in every run; see the module."""
    if not free:
        return ()
    loose: dict[str, list[Sample]] = {}
    for sample in samples:
        rest = {k: v for k, v in sample.settings.items() if k not in free and k not in aside}
        loose.setdefault(canonical_json([sample.method, rest]), []).append(sample)
    # First what several seeds share, such as two cards or a true setting: it makes the groups.
    groups: list[list[Sample]] = []
    for members in loose.values():
        shared = sorted(key for key in free if _is_shared(key, members))
        finer: dict[str, list[Sample]] = {}
        for member in members:
            finer.setdefault(canonical_json([member.settings.get(k) for k in shared]), []).append(
                member
            )
        groups += finer.values()
    methods = {sample.method for sample in samples}
    keys = []
    for key in free:
        key_methods = {sample.method for sample in samples if key in sample.settings}
        each = [_seeds_apart(key, members) for members in groups]
        if key_methods == methods and -1 not in each and max(each, default=0) >= FEWEST:
            keys.append(key)
    return keys


def _is_shared(key: str, members: list[Sample]) -> bool:
    """Whether two seeds of a group have one value of a key, and others another."""
    seeds: dict[str | None, set[int]] = {}
    for member in members:
        seeds.setdefault(member.settings.get(key), set()).add(member.seed)
    return any(len(same) > 1 for value, same in seeds.items() if value is not None)


def _seeds_apart(key: str, members: list[Sample]) -> int:
    """Return how many seeds a key tells apart in a group; -1 if it does not tell them apart."""
    pairs = {(member.seed, member.settings[key]) for member in members if key in member.settings}
    seeds, values = {seed for seed, _ in pairs}, {value for _, value in pairs}
    return len(seeds) if len(pairs) == len(seeds) == len(values) else -1
