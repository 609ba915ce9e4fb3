"""A teacher that is given to a study: its own normalisation, and data it was not trained on."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from kdgap.data import Request, load_dataset
from kdgap.errors import BadInputError, TeacherError
from kdgap.running import teacher as rules
from kdgap.running.single import train_single
from kdgap.running.teacher import TeacherWeights, check_teacher
from kdgap.store.card import Card, MeasuredAccuracy
from kdgap.store.notices import OTHER_IMAGES, SEEN_VALIDATION, UNMEASURED
from kdgap.store.study import StudyDirectory
from kdgap.store.weights import read_weights, weight_hash, write_weights
from tests.study.conftest import Work, results, runs

CPU = torch.device("cpu")
OTHER = {"mean": (0.45,), "std": (0.2,)}
METHODS = {"logit": {"alpha": 0.5, "temperature": 4.0}}


@pytest.fixture
def teacher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A digits teacher, outside of its run."""
    from kdgap import yamlio
    from kdgap.methods import hyperparameter_names
    from kdgap.running.config import resolve
    from kdgap.spec.flat import read_flat

    monkeypatch.setenv("KDGAP_CACHE", str(tmp_path / "cache"))
    keys = {"data": "digits", "model": "resnet8", "width": 0.5, "epochs": 1, "tracker": "none",
            "output_dir": str(tmp_path / "run")}  # fmt: skip
    spec, weights = resolve(
        *read_flat(yamlio.parse(json.dumps(keys), "test"), {}, hyperparameter_names())
    )
    record = train_single(spec, weights)
    path = tmp_path / "teacher.safetensors"
    path.write_bytes((record.path / "checkpoint_best.safetensors").read_bytes())
    return path


def rewrite(path: Path, **changes: Any) -> None:
    state, card = read_weights(path)
    write_weights(path, state, card.model_copy(update=changes))


def given(teacher: Path, **changes: Any) -> dict[str, Any]:
    return {"teachers": {"weights": {"big": str(teacher)}}, "methods": METHODS,
            "selection": None, "finals": {"seeds": [0, 1]}, **changes}  # fmt: skip


def test_a_study_records_its_teacher_s_view_and_refuses_another(
    worked: Work, teacher: Path
) -> None:
    rewrite(teacher, **OTHER, fingerprint="f" * 64, accuracy=_measured(teacher, 0.0))
    directory = worked(**given(teacher))
    headers = [
        json.loads((directory.path / run["path"] / "run.json").read_text())
        for run in runs(directory)
    ]
    taught = [header for header in headers if header["teacher"] is not None]
    assert (len(headers), len(taught)) == (4, 2)
    for header in taught:
        assert header["teacher"]["mean"] == [0.45]
        assert OTHER_IMAGES.text in header["flags"]
    rewrite(teacher, mean=(0.46,))
    with pytest.raises(BadInputError, match=r"normalised with mean \[0\.45\]"):
        worked(**given(teacher, finals={"seeds": [0, 1, 2]}))


def _measured(path: Path, value: float) -> MeasuredAccuracy:
    accuracy = read_weights(path)[1].accuracy
    assert accuracy is not None
    return accuracy.model_copy(update={"value": value})


def _weights(path: Path) -> TeacherWeights:
    return rules.open_teacher(path, None, unmeasured=True)


@pytest.mark.parametrize(
    ("fingerprint", "claimed", "measured", "fine"),
    [
        (None, 0.90, 0.90, True),  # its own data: exactly
        (None, 0.90, 0.8999, False),
        (None, 0.90, 0.9001, False),
        ("f" * 64, 0.90, 0.90, True),  # other images: as chance explains, 297 of them
        ("f" * 64, 0.90, 0.99, True),
        ("f" * 64, 0.90, 0.82, True),
        ("f" * 64, 0.90, 0.70, False),
        ("f" * 64, 0.90, 0.10, False),
    ],
)
def test_an_accuracy_holds_exactly_or_on_other_images_within_chance(
    teacher: Path,
    monkeypatch: pytest.MonkeyPatch,
    fingerprint: str | None,
    claimed: float,
    measured: float,
    fine: bool,
) -> None:
    changes: dict[str, Any] = {"accuracy": _measured(teacher, claimed)}
    rewrite(teacher, **changes, **({"fingerprint": fingerprint} if fingerprint else {}))
    monkeypatch.setattr(rules, "measure", lambda *_: measured)
    dataset = load_dataset("digits", Request(Path()))
    if fine:
        check_teacher(_weights(teacher), dataset, CPU)
        return
    with pytest.raises(TeacherError, match="measured"):
        check_teacher(_weights(teacher), dataset, CPU)


def test_an_accuracy_is_measured_with_the_card_s_normalisation(teacher: Path) -> None:
    dataset = load_dataset("digits", Request(Path()))
    on = _measured(teacher, 0.0)
    plain = rules.measure(_weights(teacher), dataset, on, CPU)
    rewrite(teacher, mean=(3.0,), std=(0.1,))
    shifted = rules.measure(_weights(teacher), dataset, on, CPU)
    assert shifted != plain
    assert rules.measure(_weights(teacher), dataset, on, CPU) == shifted  # from the cache


@pytest.mark.parametrize(
    "changes",
    [{"mean": (0.1, 0.2)}, {"std": ()}, {"std": (0.0,)}, {"std": (-1.0,)}, {"mean": (), "std": ()}],
)
def test_a_card_whose_normalisation_cannot_be_is_refused(
    teacher: Path, changes: dict[str, Any]
) -> None:
    rewrite(teacher, **changes)
    with pytest.raises(TeacherError, match="bad card"):
        _weights(teacher)


@pytest.mark.parametrize(
    "changes", [{"val_size": 0}, {"val_size": -1}, {"limit": 0}, {"split_seed": -1}]
)
def test_an_accuracy_on_no_images_is_a_bad_card(teacher: Path, changes: dict[str, Any]) -> None:
    accuracy = _measured(teacher, 0.5).model_copy(update=changes)
    rewrite(teacher, accuracy=accuracy)
    with pytest.raises(TeacherError, match="bad card"):
        _weights(teacher)


def test_a_card_without_the_new_field_keeps_its_bytes(teacher: Path) -> None:
    card = read_weights(teacher)[1]
    assert "measured_on" not in card.metadata()["kdgap"]
    other = card.model_copy(update={"measured_on": "a" * 64})
    assert Card.model_validate_json(other.metadata()["kdgap"]) == other


# Settings of one teacher


def widened(path: Path) -> None:
    """Give a teacher a class that the data has not, as the first of its classes."""
    state, card = read_weights(path)
    for name in ("fc.weight", "fc.bias"):
        state[name] = torch.cat([state[name][:1] + 9, state[name]])
    changes: dict[str, Any] = {"classes": ("owl", *card.classes)}
    write_weights(
        path, state, card.model_copy(update=changes | {"weight_hash": weight_hash(state)})
    )


def of_teachers(teacher: Path, **keys: Any) -> dict[str, Any]:
    return given(teacher, teachers={"weights": {"big": str(teacher)}, **keys})


def taught(directory: StudyDirectory) -> list[dict[str, Any]]:
    """What the headers of runs with a teacher say."""
    paths = [directory.path / run["path"] / "run.json" for run in runs(directory)]
    headers = [json.loads(path.read_text()) for path in paths]
    return [header for header in headers if header["teacher"] is not None]


def test_a_study_lets_one_teacher_be_unmeasured(worked: Work, teacher: Path) -> None:
    rewrite(teacher, accuracy=None)
    with pytest.raises(TeacherError, match=r"set teachers\.allow_unmeasured: \[big\]"):
        worked("refused", **of_teachers(teacher))
    directory = worked(**of_teachers(teacher, allow_unmeasured=["big"]))
    assert [UNMEASURED.text in header["flags"] for header in taught(directory)] == [True] * 2


def test_a_study_lets_a_teacher_have_more_classes(worked: Work, teacher: Path) -> None:
    plain = worked("plain", **of_teachers(teacher))
    widened(teacher)
    with pytest.raises(TeacherError, match=r"set teachers\.subset: \[big\]"):
        worked("refused", **of_teachers(teacher))
    directory = worked(**of_teachers(teacher, subset=["big"]))
    # The logits of the data's classes are what they were, but for the order of sums.
    losses = [
        [results(study, run)["history"][0]["loss_total"] for run in runs(study, "final")]
        for study in (directory, plain)
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_a_teacher_of_all_training_images_is_said_in_plan_and_runs(
    worked: Work, teacher: Path
) -> None:
    rewrite(teacher, trained_on="train+val")
    directory = worked(**given(teacher))
    codes = [notice["code"] for notice in directory.plan()["notices"]]
    assert SEEN_VALIDATION.code in codes
    for header in taught(directory):
        assert SEEN_VALIDATION.text in header["flags"]
        assert header["teacher"]["trained_on"] == "train+val"
    rewrite(teacher, trained_on="train")
    (header, *_) = taught(worked("plain", **given(teacher)))
    assert SEEN_VALIDATION.text not in header["flags"]
    assert "trained_on" not in header["teacher"]


def test_an_accuracy_of_larger_data_is_measured_on_what_there_is(
    teacher: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    larger = _measured(teacher, 0.9).model_copy(update={"val_size": 5000})
    rewrite(teacher, fingerprint="f" * 64, accuracy=larger)
    sizes: list[int] = []

    def measured(*arguments: Any) -> float:
        sizes.append(arguments[2].val_size)
        return 0.9

    monkeypatch.setattr(rules, "measure", measured)
    check_teacher(_weights(teacher), load_dataset("digits", Request(Path())), CPU)
    assert sizes == [259]
