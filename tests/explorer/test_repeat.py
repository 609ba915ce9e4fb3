"""A run's page says how to train it again, and who does so gets the same bits."""

import json
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdgap import yamlio
from kdgap.cli.app import app
from kdgap.errors import BadInputError
from kdgap.explorer.repeat import Repeat, repeat
from kdgap.methods import METHODS
from kdgap.paths import user_path
from kdgap.spec.identity import identity, run_id
from kdgap.spec.method_card import MethodCard
from kdgap.spec.model import ClassifierOf, InputSpec, ModelSpec, Modules
from kdgap.spec.run import DataSpec, MethodSpec, Placement, RecipeSpec, RunSpec, TeacherSpec
from kdgap.store.record import BEST, HISTORY, RunDirectory
from kdgap.store.study import StudyDirectory
from tests.cli.test_studies import work
from tests.e2e.study import study_text
from tests.spec.test_run import leaves

STUDY = Path("runs/small")
ABOUT = {name: cls.about() for name, cls in METHODS.items()}
TEACHER = TeacherSpec(model=ModelSpec(name="resnet56"), run="ab" * 32, weights=f"runs/a/0-b/{BEST}")
RUN = RunSpec(
    data=DataSpec(name="imagefolder", image_size=64, augmentation="crop", val_size=500, limit=100),
    model=ModelSpec(name="resnet20", width=0.5),
    method=MethodSpec(name="feature", parameters={"alpha": 0.5, "beta": 0.25, "norm": "none"}),
    teacher=TEACHER,
    recipe=RecipeSpec(epochs=3, lr=1e-05),
    precision="bf16",
    seed=7,
    place=Placement(data_root="images"),
)


GIVEN = RUN.model_copy(
    update={
        "teacher": TeacherSpec(
            model=TEACHER.model, weight_hash="c" * 64, weights="old/t.safetensors"
        )
    }
)


def asked(run: RunSpec, **changes: Any) -> dict[str, Any]:
    """What a `run.json` holds, as far as a repetition reads it."""
    header: dict[str, Any] = {
        "id": run_id(run),
        "spec": run.model_dump(mode="json"),
        "environment": {"device": "cpu", "threads": 2},
        "teacher": None if run.teacher is None else {"accuracy": {"value": 0.5}},
        "data": {"fingerprint": "d" * 64},
        "flags": [],
    }
    return {**json.loads(json.dumps(header)), **changes}


def flat_keys(repeated: Repeat) -> dict[str, Any]:
    """The keys of a file."""
    assert repeated.file is not None, repeated.reason
    assert repeated.reason is None
    value = yamlio.parse(repeated.file, "file").value
    assert isinstance(value, dict)
    return value


# The same bits


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where somebody stood who ran a small study, with one candidate of each method."""
    folder = tmp_path_factory.mktemp("stood")
    file = folder / "study.yaml"
    methods = {"logit": {"alpha": 0.3}, "feature": {"alpha": 0.7, "beta": 0.2}}
    recipe = {"epochs": 2, "batch_size": 64, "lr": 0.05}
    file.write_text(study_text(methods=methods, recipe=recipe, finals={"seeds": [0, 1]}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KDGAP_CACHE", str(folder / "cache"))
        work(file, folder / STUDY)
    return folder


@pytest.fixture
def directory(folder: Path, monkeypatch: pytest.MonkeyPatch) -> StudyDirectory:
    """The study, as seen from where it was run."""
    monkeypatch.chdir(folder)
    return StudyDirectory(STUDY)


def records(directory: StudyDirectory, role: str, method: str) -> Iterator[RunDirectory]:
    for run in directory.plan()["runs"]:
        if any((slot["role"], slot["method"]) == (role, method) for slot in run["slots"]):
            yield directory.run(run["path"])


@pytest.mark.parametrize(
    ("role", "method"), [("baseline", "none"), ("final", "logit"), ("final", "feature")]
)
def test_whoever_trains_the_file_gets_the_same_bits_under_the_same_id(
    directory: StudyDirectory, tmp_path: Path, role: str, method: str
) -> None:
    *_, place = records(directory, role, method)
    first = place.read()
    repeated = repeat(first.run, STUDY, ABOUT)
    keys = flat_keys(repeated)
    file = tmp_path / "run.yaml"
    file.write_text(str(repeated.file))
    assert not app(["train", str(file)], standalone_mode=False)
    again = RunDirectory(Path(keys["output_dir"]))
    second = again.read()
    assert second.id == first.id
    for name in ("best", "last"):
        assert second.results[f"weight_hash_{name}"] == first.results[f"weight_hash_{name}"]
    assert (again.path / HISTORY).read_bytes() == (place.path / HISTORY).read_bytes()
    assert second.run["environment"] == first.run["environment"]


# Nothing is forgotten


def other(owner: Any, name: str) -> list[object]:
    """Every other value of a choice, or one other valid value of anything else, if there is one."""
    value = owner[name] if isinstance(owner, dict) else getattr(owner, name)
    annotation = None if isinstance(owner, dict) else type(owner).model_fields[name].annotation
    if get_origin(annotation) is Literal and len(get_args(annotation)) > 1:
        return [choice for choice in get_args(annotation) if choice != value]
    if name == "classifier":
        return [ClassifierOf(name="resnet8")]
    if name == "modules":
        return [Modules(classifier="head")]
    if name == "input":
        return [InputSpec(size=16), InputSpec(size=8, interpolation="bicubic")]
    if name == "code":
        return ["b" * 64]
    if name == "batch_norm":
        return ["per_rank"]
    if name == "arguments":
        return [{"size": 2}, {"kind": "b", "sizes": [1, 2]}]
    if isinstance(value, list):
        return [[*value, 1]]
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int | float):
        return [value + 1 if isinstance(value, int) else value / 2]
    return [f"{value[:-1]}{'c' if value[-1] == 'b' else 'b'}"]  # a hash stays one


TOGETHER: dict[str, dict[str, object]] = {
    "optimiser": {"nesterov": False},
    "schedule": {"milestones": [1]},
    "milestones": {"schedule": "step"},
    "devices": {"batch_norm": "synchronised"},
    "batch_norm": {"devices": 2, "batch_norm": "synchronised"},
}
"""What a field needs beside it to be another."""


def changed(value: Any, path: list[str]) -> list[Any]:
    """Copies of a specification with other values at one path."""
    name, *rest = path
    if name in TOGETHER and not rest:
        value = value.model_copy(update=TOGETHER[name])
    if isinstance(value, dict):
        return [value | {name: new} for new in other(value, name)]
    inner = changed(getattr(value, name), rest) if rest else other(value, name)
    return [value.model_copy(update={name: new}) for new in inner]


FIELDS = [
    (run, path)
    for run in (RUN, GIVEN)
    for path in leaves(run)
    if not path.startswith("place") and path != "teacher.weights"
    if path not in ("teacher.weight_hash", "teacher.run") or (run is GIVEN) == ("hash" in path)
]


@pytest.mark.parametrize(("run", "path"), FIELDS, ids=[path for _, path in FIELDS])
def test_every_field_that_is_hashed_is_said_or_the_file_is_refused(run: RunSpec, path: str) -> None:
    before = repeat(asked(run), STUDY, ABOUT)
    for variant in changed(run, path.split(".")):
        assert run_id(variant) != run_id(run)
        if path == "model.code":  # found again where the factory is
            continue
        after = repeat(asked(variant), STUDY, {variant.method.name: ABOUT["feature"]})
        if path in ("data.choose_on", "model.classifier", "numerics"):
            assert after.reason
            continue
        assert after.file is not None, after.reason
        # What its weights are is said by the teacher's own file; remarks say it to the reader.
        if path.startswith("teacher."):
            assert remarks(after) != remarks(before)
        else:
            assert {**flat_keys(after), "output_dir": ""} != {**flat_keys(before), "output_dir": ""}


def remarks(repeated: Repeat) -> list[str]:
    """What is said of the teacher in comments."""
    return [line for line in str(repeated.file).splitlines() if line.startswith("# teacher")]


@pytest.mark.parametrize("part", ["", "data", "model", "method", "teacher", "recipe"])
def test_a_field_that_joins_the_specification_is_refused_until_it_has_a_flat_key(
    part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def more(spec: RunSpec) -> dict[str, Any]:
        kept = identity(spec)
        (kept[part] if part else kept)["later"] = 1
        return kept

    monkeypatch.setattr("kdgap.explorer.repeat.identity", more)
    repeated = repeat(asked(RUN), Path("my study"), ABOUT)
    command = shlex.join(["kdgap", "verify", "my study", "--run", run_id(RUN)[:10]])
    assert repeated.file is None
    assert repeated.reason == f"a flat file cannot say later 1; `{command}` trains the run again"


def test_a_file_spells_out_what_is_at_its_default() -> None:
    plain = RunSpec(
        data=DataSpec(name="digits", val_size=297),
        model=ModelSpec(name="resnet8"),
        method=MethodSpec(name="none"),
    )
    keys = flat_keys(repeat(asked(plain), STUDY, ABOUT))
    fields = {*RecipeSpec.model_fields, *ModelSpec.model_fields, *DataSpec.model_fields, "seed"}
    unsaid = {"name", "choose_on", "image_size", "limit", "classifier", "test_share", "skip_broken"}
    unsaid |= {"shortcut", "arguments", "modules", "input", "code"}
    unsaid |= {"milestones", "factor", "dot_delta"}  # at what they are where they mean nothing
    assert fields - unsaid <= keys.keys()
    assert {"precision", "threads", "device", "data_root"} <= keys.keys()
    assert not {"teacher", "teacher_weights", "allow_unmeasured_teacher"} & keys.keys()


def test_hyper_parameters_are_spelt_as_the_plan_says() -> None:
    keys = flat_keys(repeat(asked(RUN), STUDY, ABOUT))
    assert (keys["feat_beta"], keys["feat_norm"]) == (0.25, "none")


def test_a_plan_that_does_not_say_how_they_are_spelt_is_named() -> None:
    old = {name: MethodCard.read({"summary": card.summary}) for name, card in ABOUT.items()}
    repeated = repeat(asked(RUN), STUDY, old)
    assert repeated.file is None
    assert "`kdgap run runs/small` writes it anew" in str(repeated.reason)


# What cannot be said


def _chosen_on_test() -> RunSpec:
    data = RUN.data.model_dump() | {"choose_on": "test", "val_size": 0}
    return RUN.model_copy(update={"data": DataSpec.model_validate(data)})


@pytest.mark.parametrize(
    ("run", "reason"),
    [
        (_chosen_on_test(), "cannot say choose_on 'test'; `kdgap verify runs/small --run "),
        (RUN.model_copy(update={"numerics": 2}), "numerics is 2, and this kdgap trains with "),
    ],
)
def test_what_a_flat_file_cannot_say_is_a_reason(run: RunSpec, reason: str) -> None:
    repeated = repeat(asked(run), STUDY, ABOUT)
    assert repeated.file is None
    assert reason in str(repeated.reason)


@pytest.mark.parametrize(
    "damage",
    [
        lambda header: None,
        lambda header: {},
        lambda header: [header],
        lambda header: header | {"spec": {}},
        lambda header: header | {"spec": header["spec"] | {"later": 1}},
        lambda header: header | {"id": "0" * 64},
        lambda header: header | {"environment": None},
        lambda header: header | {"environment": {"device": "cpu", "threads": "many"}},
        lambda header: header | {"teacher": None},
        lambda header: header | {"flags": None},
    ],
)
def test_a_damaged_record_is_a_reason(damage: Callable[[dict[str, Any]], Any]) -> None:
    repeated = repeat(damage(asked(RUN)), STUDY, ABOUT)
    assert repeated.file is None
    assert repeated.reason


# Names


def test_a_teacher_is_named_below_the_study_or_as_it_was_given() -> None:
    keys = flat_keys(repeat(asked(RUN), Path("/data/my study"), ABOUT))
    assert keys["teacher"] == "resnet56"
    assert keys["teacher_weights"] == f"/data/my study/runs/a/0-b/{BEST}"
    keys = flat_keys(repeat(asked(GIVEN), STUDY, ABOUT))
    assert keys["teacher_weights"] == "old/t.safetensors"
    assert "allow_unmeasured_teacher" not in keys
    keys = flat_keys(repeat(asked(GIVEN, teacher={"accuracy": None}), STUDY, ABOUT))
    assert keys["allow_unmeasured_teacher"] is True
    assert "teacher_subset" not in keys
    more = {"accuracy": None, "classes": ["cat", "dog", "owl"]}
    data = {"fingerprint": "d" * 64, "classes": ["cat", "dog"]}
    keys = flat_keys(repeat(asked(GIVEN, teacher=more, data=data), STUDY, ABOUT))
    assert keys["teacher_subset"] is True


@given(st.text(min_size=1, max_size=40), st.text(max_size=20))
def test_any_printable_name_is_written_so_that_it_is_read_back(root: str, flag: str) -> None:
    if not root.isprintable():
        root = root.encode("unicode_escape").decode()
    run = RUN.model_copy(update={"place": Placement(data_root=root)})
    study = root.replace("/", "_")
    weights = (Path(study) / TEACHER.weights).as_posix()
    repeated = repeat(asked(run, flags=[flag]), Path(study), ABOUT)
    if not (_means_itself(root) and _means_itself(weights)):
        assert repeated.file is None
        assert repeated.reason
        return
    keys = flat_keys(repeated)
    assert keys["data_root"] == root
    assert keys["teacher_weights"] == weights
    assert keys["kd_type"] == "feature"


def _means_itself(path: str) -> bool:
    """Whether a path in a flat file is read as it stands there."""
    try:
        return str(user_path(path)) == path
    except BadInputError:
        return False


@pytest.mark.parametrize("study", ["a\nb", "a\udcff", "a\x85b", "x" * 1000])
def test_a_path_that_no_flat_file_can_hold_is_a_reason(study: str) -> None:
    repeated = repeat(asked(RUN), Path(study), ABOUT)
    assert repeated.file is None
    assert repeated.reason
