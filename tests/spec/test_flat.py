"""A flat configuration is resolved into one run, or refused in one line before anything happens."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdgap import yamlio
from kdgap.data import DATASETS
from kdgap.errors import BadInputError, TeacherError
from kdgap.methods import hyperparameter_names
from kdgap.models.build import build_model
from kdgap.running.config import resolve
from kdgap.spec.flat import FlatConfig, read_flat
from kdgap.spec.identity import run_id
from kdgap.spec.model import ModelSpec
from kdgap.spec.run import RunSpec
from kdgap.store.card import Card
from kdgap.store.weights import copy_state, weight_hash, write_weights
from kdgap.yamlio import parse_assignments

CONFIGS = Path(__file__).resolve().parents[2] / "configs"


def run_of(text: str, overrides: Mapping[str, object] | None = None) -> RunSpec:
    document = yamlio.parse(text, "f.yaml")
    return resolve(*read_flat(document, overrides or {}, hyperparameter_names()))[0]


def id_of(text: str) -> str:
    return run_id(run_of(text))


def refusal(text: str, overrides: Mapping[str, object] | None = None) -> str:
    with pytest.raises(BadInputError) as caught:
        run_of(text, overrides)
    return str(caught.value)


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The flat keys of a small teacher of three stages, never measured."""
    model = ModelSpec(name="resnet8", width=0.25)
    state = copy_state(build_model(model, 10, 1, (8, 8), init_seed=0))
    card = Card(
        model=model,
        classes=tuple("0123456789"),
        channels=1,
        image_size=(8, 8),
        mean=(0.5,),
        std=(0.5,),
        data="digits",
        fingerprint=None,
        weight_hash=weight_hash(state),
        checkpoint="converted",
    )
    path = tmp_path_factory.mktemp("teacher") / "teacher.safetensors"
    write_weights(path, state, card)
    return f"teacher: resnet8\nteacher_weights: {path}\nallow_unmeasured_teacher: true\n"


# The bad line is the last one of each entry; the file begins with another line.
BAD: list[tuple[str, str]] = [
    *[("alpha", v) for v in ("-0.1", "1.1", ".nan", ".inf", "-.inf", "1e400")],
    *[("alpha", v) for v in ("true", "'0.5'", "null", "half", "[0.5]", "{a: 0.5}", "[]")],
    *[("temperature", v) for v in ("0", "-1", ".nan", ".inf", "1e9", "false", "'3'", "[2, 3]")],
    *[("feat_beta", v) for v in ("-0.5", ".nan", "1e9", "true", "null", "none")],
    *[("feat_norm", v) for v in ("teacher", "3", "true", "null")],
    *[("epochs", v) for v in ("0", "-1", "1.5", "1.0", "1e1", "true", "'1'", "[]", ".inf", "one")],
    *[("epochs", v) for v in ("100001", "10000000000")],
    *[("seed", v) for v in ("-1", "null", str(2**64), str(2**63), "1.0", "false", "'0'", "[0, 1]")],
    *[("split_seed", v) for v in ("-1", "null", str(2**63), "0.5")],
    *[("lr", v) for v in ("0", "-0.1", ".nan", ".inf", "fast", "1001", "true", "'0.1'", "[0.1]")],
    *[("eta_min", v) for v in ("-1e-4", ".nan", "'0'", "1001")],
    *[("batch_size", v) for v in ("0", "1", "-128", "1e3", "128.0", "65537", "true", "'128'")],
    *[("momentum", v) for v in ("1", "-0.1", ".nan", "'0.9'", "true")],
    *[("nesterov", v) for v in ("'yes'", "yes", "no", "1", "'true'", "0.0")],
    *[("weight_decay", v) for v in ("-1e-4", ".inf", "11", "'5e-4'")],
    *[("clip_norm", v) for v in ("0", "-1", ".inf", ".nan", "off", "true")],
    *[("clip_scope", v) for v in ("al", "false", "student-only", "none", "2")],
    *[("no_proj_clip", v) for v in ("'false'", "1", "no", "off")],
    *[("val_size", v) for v in ("0", "-1", "1.0", "0.1", "'5000'", "true")],
    *[("limit", v) for v in ("0", "1", "-5", "2.0", "true")],
    *[("image_size", v) for v in ("0", "3", "1025", "32.0", "[32, 32]")],
    *[("augmentation", v) for v in ("crop_flp", "no", "true", "''")],
    *[("precision", v) for v in ("fp16", "fp3", "32", "true", "[fp32]")],
    *[("stem", v) for v in ("cifr", "3x3", "no", "''")],
    *[("tracker", v) for v in ("tensorbord", "wandb", "no", "true")],
    *[("width", v) for v in ("0", "-1", "0.3", "0.03125", ".nan", "17", "'1'", "true")],
    *[("device", v) for v in ("gpu", "cuda:99", "meta", "''", "0", "cpu:x:y")],
    *[("threads", v) for v in ("0", "-1", "1.5", "1025", "true")],
    *[("num_workers", v) for v in ("-1", "0.5", "true", "many")],
    *[("output_dir", v) for v in ("''", '"a\\nb"', "3", "[a]")],
    *[("data_root", v) for v in ("''", '"\\0"', "5", "true")],
    *[("teacher", v) for v in ("50", "''", "[resnet50]")],
    *[("teacher_weights", v) for v in ("50", "''", "true")],
    *[("allow_unmeasured_teacher", v) for v in ("1", "'true'", "yes")],
    *[("kd_type", v) for v in ("logits", "KD", "no", "false", "''", "[logit, feature]")],
    *[("data", v) for v in ("cifar11", "mnist", "''", "10")],
    *[("model", v) for v in ("resnet19", "vgg", "''", "18", "null", "[resnet20]", "{a: 1}")],
]
BAD_TEXTS = [(f"{key}: {value}", key) for key, value in BAD] + [
    ("kd_type: logit", "kd_type"),
    ("alpha: 0.5\nkd_type: feature", "kd_type"),
    ("model: resnet18\nwidth: 0.5", "width"),
    ("model: resnet56\nstem: imagenet", "stem"),
    ("momentum: 0", "momentum"),
    ("nesterov: true\nmomentum: 0", "momentum"),
    ("clip_scope: all\nno_proj_clip: true", "no_proj_clip"),
    ("clip_scope: 'off'\nno-proj-clip: true", "no_proj_clip"),
]


def complete(text: str) -> str:
    return ("seed: 1\n" if "model:" in text else "model: resnet20\n") + text


@pytest.mark.parametrize(("text", "key"), BAD_TEXTS, ids=[text for text, _ in BAD_TEXTS])
def test_a_bad_value_is_refused_in_one_line_that_names_the_key_and_nothing_is_written(
    text: str, key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    message = refusal(complete(text))
    assert key in message
    assert message.isprintable()
    assert len(message) < 400
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("text", "key"), BAD_TEXTS, ids=[text for text, _ in BAD_TEXTS])
def test_a_bad_value_gets_one_complaint_with_its_file_and_line(text: str, key: str) -> None:
    line = complete(text).count("\n") + 1
    message = refusal(complete(text))
    assert message.startswith(f"f.yaml:{line}: ")
    assert message.count("f.yaml") == 1


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("model: resnet19", "resnet18"),
        ("model: resnet200", "resnet20"),
        ("kd_type: logits", "logit"),
        ("kd_type: features", "feature"),
        ("data: cifar11", "cifar10"),
        ("data: digit", "digits"),
        ("augmentation: crop_flp", "crop_flip"),
        ("precision: fp3", "fp32"),
        ("precision: bf-16", "bf16"),
        ("stem: imagnet", "imagenet"),
        ("tracker: tensorbord", "tensorboard"),
        ("clip_scope: student", "student_only"),
        ("feat_norm: teacher", "teacher_std"),
    ],
)
def test_an_unknown_choice_gets_the_nearest_name(text: str, meant: str) -> None:
    assert f"(did you mean {meant!r}?)" in refusal(complete(text))


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("alhpa", "alpha"),
        ("temprature", "temperature"),
        ("feat_bta", "feat_beta"),
        ("kd-typ", "kd_type"),
        ("weight-decy", "weight_decay"),
        ("teacher-weight", "teacher_weights"),
        ("epoch", "epochs"),
        ("batchsize", "batch_size"),
        ("data-rot", "data_root"),
    ],
)
def test_an_unknown_key_is_refused_with_file_line_and_nearest_name(key: str, meant: str) -> None:
    message = refusal(f"model: resnet20\n\n{key}: 1\n")
    name = key.replace("-", "_")
    assert message == f"f.yaml:3: unknown key {name!r} (did you mean {meant!r}?)"


@pytest.mark.parametrize("key", ["numerics", "place", "hyperparameters", "1", "<<", "x" * 500])
def test_no_key_but_the_documented_ones_is_accepted(key: str) -> None:
    message = refusal(f"model: resnet20\n{key}: 1")
    assert message.startswith("f.yaml:2: unknown key ")
    assert len(message) < 160


@pytest.mark.parametrize("text", ["- model: resnet20", "resnet20", "---", "[]", "3"])
def test_a_file_that_is_no_mapping_is_refused(text: str) -> None:
    assert refusal(text) == "f.yaml: expected `key: value` lines"


@pytest.mark.parametrize("text", ["", "seed: 1"])
def test_a_file_without_a_model_is_refused(text: str) -> None:
    assert refusal(text).startswith("f.yaml: model: ")


def test_the_command_line_beats_the_file_and_is_named_in_errors() -> None:
    text = "model: resnet20\nkd-type: logit\nseed: 1\nlr: 0.2"
    run = run_of(text, {"kd_type": "none", "seed": 2})
    assert (run.method.name, run.seed, run.recipe.lr) == ("none", 2, 0.2)
    assert refusal(text, {"kd_type": "none", "lr": 0}).startswith("command line: lr: ")
    assert refusal(text, {"lrr": 0}) == "command line: unknown key 'lrr' (did you mean 'lr'?)"


def test_a_run_can_come_from_the_command_line_alone() -> None:
    config, places = read_flat(None, {"model": "resnet20"}, hyperparameter_names())
    assert run_id(resolve(config, places)[0]) == id_of("model: resnet20")
    assert places("model") == "command line"


def test_assignments_are_read_with_the_rules_of_a_file() -> None:
    words = ["kd-type=none", "lr=1e-3", "no_proj_clip=no", " seed = 3", "output_dir=a=b"]
    expected = {
        "kd_type": "none",
        "lr": 0.001,
        "no_proj_clip": "no",
        "seed": 3,
        "output_dir": "a=b",
    }
    assert parse_assignments(words) == expected


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["lr"], "--set lr: expected key=value"),
        (["=1"], "--set =1: expected key=value"),
        (["lr=1", "lr=1"], "--set lr: given twice"),
        (["kd-type=a", "kd_type=b"], "--set kd_type: given twice"),
        (["lr=[1"], "--set lr:1: "),
        (["lr=!!python/name:os.system"], "--set lr:1: tags are not supported"),
        (["seed=007"], "--set seed:1: '007' could mean octal"),
    ],
)
def test_a_bad_assignment_is_refused(words: list[str], expected: str) -> None:
    with pytest.raises(BadInputError) as caught:
        parse_assignments(words)
    assert str(caught.value).startswith(expected)


# --- defaults


def test_only_the_model_is_needed_and_the_defaults_are_the_protocol() -> None:
    run = run_of("model: resnet18")
    assert run.data.model_dump() == {
        "name": "cifar10",
        "image_size": None,
        "augmentation": "crop_flip",
        "split_seed": 1234,
        "val_size": 5000,
        "choose_on": "val",
        "limit": None,
    }
    assert run.recipe.model_dump() == {
        "optimiser": "sgd",
        "lr": 0.1,
        "momentum": 0.9,
        "nesterov": True,
        "weight_decay": 5e-4,
        "schedule": "cosine",
        "eta_min": 1e-4,
        "epochs": 100,
        "batch_size": 128,
        "clip_norm": 1.0,
        "clip_scope": "all",
        "milestones": [],
        "factor": 0.1,
        "dot_delta": 0.075,
    }
    assert run.model.model_dump() == {"name": "resnet18", "stem": "cifar", "width": 1.0}
    assert (run.method.name, run.teacher) == ("none", None)
    assert (run.precision, run.seed) == ("fp32", 0)


@pytest.mark.parametrize("name", list(DATASETS))
def test_validation_size_and_augmentation_default_to_the_data_set(name: str) -> None:
    data = run_of(f"model: resnet20\ndata: {name}").data
    assert (data.val_size, data.augmentation) == (
        DATASETS[name].val_size,
        DATASETS[name].augmentation,
    )


def test_digits_are_not_flipped_by_default() -> None:
    assert run_of("model: resnet20\ndata: digits").data.augmentation == "crop"


# --- identity

BASE: dict[str, Any] = {
    "model": "resnet20",
    "kd_type": "none",
    "data": "digits",
    "val_size": 100,
    "epochs": 3,
    "lr": 0.1,
    "weight_decay": 0.0,
    "seed": 4,
}


@given(st.permutations(list(BASE)))
def test_the_order_of_keys_does_not_change_the_id(keys: list[str]) -> None:
    text = "".join(f"{key}: {BASE[key]}\n" for key in keys)
    assert id_of(text) == id_of("".join(f"{key}: {value}\n" for key, value in BASE.items()))


@pytest.mark.parametrize(
    ("spelling", "other"),
    [
        ("lr: 1", "lr: 1.0"),
        ("lr: 1e-1", "lr: 0.1"),
        ("weight_decay: 0", "weight_decay: -0.0"),
        ("width: 2", "width: 2.0"),
        ("weight-decay: 1e-4", "weight_decay: 1e-4  # a comment"),
        ("data: digits", "'data': \"digits\""),
        ("epochs: 100", ""),
        ("momentum: 0.9", ""),
        ("augmentation: crop_flip", ""),
        ("limit: null", ""),
        ("image_size: ~", ""),
        ("no_proj_clip: false", ""),
        ("precision: fp32", ""),
    ],
)
def test_two_spellings_of_one_run_have_one_id(spelling: str, other: str) -> None:
    assert id_of(f"model: resnet20\n{spelling}") == id_of(f"model: resnet20\n{other}")


@pytest.mark.parametrize("method", ["kd_type: logit\n", "kd_type: feature\n"])
def test_whole_and_decimal_hyper_parameters_have_one_id(method: str, teacher: str) -> None:
    base = f"model: resnet20\n{method}{teacher}"
    assert id_of(base + "alpha: 1") == id_of(base + "alpha: 1.0")
    assert id_of(base + "alpha: 1") != id_of(base + "alpha: 0.5")


@pytest.mark.parametrize(
    "text",
    [
        "device: cpu",
        "threads: 3",
        "data_root: /elsewhere",
        "output_dir: runs/other",
        "tracker: none",
        "num_workers: 8",
    ],
)
def test_where_a_run_happens_is_no_part_of_its_id(text: str) -> None:
    assert id_of(f"model: resnet20\n{text}") == id_of("model: resnet20")


@pytest.mark.parametrize(
    "text",
    [
        "model: resnet20\nstem: imagenet",
        "width: 2",
        "epochs: 99",
        "batch_size: 64",
        "lr: 0.2",
        "eta_min: 0",
        "momentum: 0.8",
        "nesterov: false",
        "weight_decay: 0",
        "clip_norm: 2",
        "clip_scope: 'off'",
        "data: cifar100",
        "image_size: 64",
        "augmentation: none",
        "split_seed: 1",
        "val_size: 4999",
        "limit: 100",
        "precision: bf16",
        "seed: 1",
    ],
)
def test_what_changes_the_result_changes_the_id(text: str) -> None:
    model = "resnet18" if "stem" in text else "resnet20"
    text = text.removeprefix("model: resnet20\n")
    assert id_of(f"model: {model}\n{text}") != id_of(f"model: {model}")


@pytest.mark.parametrize(("native", "expected"), [(True, "bf16"), (False, "fp32")])
def test_auto_precision_is_resolved_before_hashing(
    native: bool, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kdgap.running.config.native_bf16", lambda device: native)
    run = run_of("model: resnet20\nprecision: auto")
    assert run.precision == expected
    assert run_id(run) == id_of(f"model: resnet20\nprecision: {expected}")


# --- keys that do not apply


def test_a_key_of_another_method_is_echoed_and_no_part_of_the_id(teacher: str) -> None:
    base = f"model: resnet20\nkd_type: feature\n{teacher}"
    run = run_of(base + "temperature: 2.0")
    assert run_id(run) == id_of(base)
    assert run.place.dropped == {"temperature": 2.0}
    assert run.method.parameters == {"alpha": 0.5, "beta": 0.5, "norm": "none"}


def test_a_baseline_drops_teacher_and_hyper_parameters_and_says_so() -> None:
    run = run_of(
        "model: resnet20\nalpha: 0.3\nfeat_beta: 2\nfeat_norm: none\nteacher: resnet50\n"
        "teacher-weights: checkpoints/none.safetensors"
    )
    assert run_id(run) == id_of("model: resnet20")
    assert run.teacher is None
    assert run.place.dropped == {
        "alpha": 0.3,
        "feat_beta": 2,
        "feat_norm": "none",
        "teacher": "resnet50",
        "teacher_weights": "checkpoints/none.safetensors",
    }


def test_nothing_is_dropped_where_every_key_applies(teacher: str) -> None:
    run = run_of(f"model: resnet20\nkd_type: logit\nalpha: 0.3\ntemperature: 2\n{teacher}")
    assert run.place.dropped == {}
    assert run.method.parameters == {"alpha": 0.3, "temperature": 2.0}


def test_unclipped_projections_are_another_run_by_either_name(teacher: str) -> None:
    base = f"model: resnet20\nkd_type: feature\n{teacher}"
    run = run_of(base + "no_proj_clip: true")
    assert run.recipe.clip_scope == "student_only"
    assert run.place.dropped == {}
    assert run_id(run) == id_of(base + "clip_scope: student_only")
    assert run_id(run) == id_of(base + "no-proj-clip: true\nclip_scope: student_only")
    assert run_id(run) != id_of(base)


@pytest.mark.parametrize("method", ["none", "logit"])
def test_unclipped_projections_do_not_apply_without_projections(method: str, teacher: str) -> None:
    base = f"model: resnet20\nkd_type: {method}\n{teacher if method == 'logit' else ''}"
    run = run_of(base + "no_proj_clip: true")
    assert run_id(run) == id_of(base)
    assert run.place.dropped == {"no_proj_clip": True}


# --- teachers and places


def test_a_teacher_is_identified_by_its_weights_not_by_their_place(
    teacher: str, tmp_path: Path
) -> None:
    base = "model: resnet20\nkd_type: logit\nallow_unmeasured_teacher: true\n"
    original = Path(teacher.split("teacher_weights: ")[1].split("\n")[0])
    copy = tmp_path / "copy.safetensors"
    copy.write_bytes(original.read_bytes())
    assert id_of(f"{base}teacher-weights: {copy}") == id_of(f"{base}teacher_weights: {original}")
    run = run_of(f"{base}teacher_weights: {copy}")
    assert run.teacher is not None
    assert run.teacher.model == ModelSpec(name="resnet8", width=0.25)
    assert run.teacher.weights == str(copy)


def test_a_missing_teacher_is_a_value_error_that_names_the_file() -> None:
    text = "model: resnet20\nkd_type: logit\nteacher_weights: none.safetensors"
    with pytest.raises(ValueError, match=r"none\.safetensors: not found"):
        run_of(text)
    assert issubclass(TeacherError, BadInputError)


def test_a_teacher_of_another_architecture_is_refused(teacher: str) -> None:
    text = f"model: resnet20\nkd_type: logit\n{teacher}".replace("resnet8", "resnet14")
    assert "they are a resnet8, the configuration says resnet14" in refusal(text)


def test_a_teacher_that_was_never_measured_needs_leave(teacher: str) -> None:
    text = f"model: resnet20\nkd_type: logit\n{teacher}".replace("true", "false")
    assert "never measured" in refusal(text)


def test_stages_that_cannot_be_paired_are_refused(teacher: str) -> None:
    text = f"model: resnet18\nkd_type: feature\n{teacher}"
    assert "4 feature stages and the teacher 3" in refusal(text)


def test_the_output_folder_holds_the_seed_or_the_id() -> None:
    base = "model: resnet20\nseed: 7\n"
    seeded = run_of(base + "output_dir: runs/mine/seed{seed}")
    assert seeded.place.output_dir == "runs/mine/seed7"
    own = run_of(base)
    assert own.place.output_dir == f"runs/cifar10_resnet20_baseline/seed7-{run_id(own)[:8]}"


# --- the reference's own files

PAIRS = {
    "r34_to_r18": ("resnet34", "resnet18"),
    "r50_to_r18": ("resnet50", "resnet18"),
    "r50_to_r34": ("resnet50", "resnet34"),
    "r101_to_r34": ("resnet101", "resnet34"),
}
METHOD_KEYS = {
    "logit": {"alpha": 0.5, "temperature": 3.0},
    "feature": {"alpha": 0.5, "feat_beta": 0.5},
}


def reference(pair: str, method: str) -> tuple[FlatConfig, Callable[[str], str]]:
    document = yamlio.load(CONFIGS / f"{pair}_{method}.yaml")
    return read_flat(document, {}, hyperparameter_names())


@pytest.mark.parametrize("method", list(METHOD_KEYS))
@pytest.mark.parametrize("pair", list(PAIRS))
def test_a_reference_configuration_holds_the_published_values(pair: str, method: str) -> None:
    config, _ = reference(pair, method)
    teacher, student = PAIRS[pair]
    assert (config.model, config.teacher, config.kd_type) == (student, teacher, method)
    depth = teacher.removeprefix("resnet")
    assert config.teacher_weights == f"checkpoints/teacher_r{depth}.safetensors"
    assert config.hyperparameters == METHOD_KEYS[method]
    assert config.epochs == 100
    assert config.seed == 0
    assert not config.no_proj_clip
    assert config.output_dir is not None


@pytest.mark.parametrize("method", list(METHOD_KEYS))
@pytest.mark.parametrize("pair", list(PAIRS))
def test_a_reference_configuration_resolves_to_the_protocol(pair: str, method: str) -> None:
    document = yamlio.load(CONFIGS / f"{pair}_{method}.yaml")
    # Without its teacher, whose weights take days to train, the rest is an ordinary baseline.
    config, places = read_flat(document, {"kd_type": "none"}, hyperparameter_names())
    run, _ = resolve(config, places)
    protocol = run_of(f"model: {PAIRS[pair][1]}")
    assert run_id(run) == run_id(protocol)


def test_a_reference_configuration_needs_its_teacher(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"checkpoints/teacher_r50\.safetensors: not found"):
        resolve(*reference("r50_to_r34", "logit"))
    assert list(tmp_path.iterdir()) == []
