"""Names that a study gave its arms: read from files of its export, checked, and settled."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from kdgap.judge.imported_evidence import evidence_of
from kdgap.store.imports.gate import OUTCOMES
from kdgap.store.imports.imported import import_runs
from kdgap.store.reference import ABLATION, ARM, METHOD
from tests.judge.builders import analyse
from tests.store.foreign_files import FINAL, PLAIN, findings, history, write

SEEDS = (0, 1)


def arms(folder: Path, named: dict[str, dict[str, Any]]) -> None:
    """Write baselines, and finals of several arms, each of other accuracies."""
    for number, (name, keys) in enumerate({"plain": PLAIN, **named}.items()):
        for seed in SEEDS:
            epochs = history(0.1 + number / 50 + seed / 100)
            scores = {"test_acc_best": 0.8 + number / 100 + seed / 500, "history": epochs}
            write(folder, f"final/{name}/seed{seed}", **{"seed": seed} | scores | keys)


def judged(folder: Path) -> tuple[dict[str, Any], Any]:
    about, runs = import_runs(folder, "x")
    # As `import.json` and `runs.jsonl` hold it.
    about, runs = json.loads(json.dumps([about, runs]))
    return about, analyse(evidence_of(about, runs, "x"))


def test_keys_that_name_are_no_settings() -> None:
    assert {METHOD, ABLATION, ARM} <= OUTCOMES


def test_arms_of_one_method_go_by_their_names(tmp_path: Path) -> None:
    kd, both = {METHOD: "kd"}, {METHOD: "kd crd", "kd_type": "crd+logit"}
    arms(tmp_path, {"a": {}, "b": kd | {"alpha": 0.9}, "c": both})
    about, analysis = judged(tmp_path)
    labels = {gain.method: gain.label for gain in analysis.gains}
    assert labels == {"logit": "Logit-KD", "kd": "kd", "kd crd": "kd crd"}
    assert [gain.n for gain in analysis.gains] == [2, 2, 2]
    assert {name: card.get("method") for name, card in about["methods"].items()} == {
        "none": None,
        "logit": None,
        "kd": "logit",
        "kd crd": "crd+logit",
    }
    assert about["methods"]["kd"]["soft_targets"] == "temperature"
    assert about["findings"][0]["code"] == "fidelity"
    assert len(about["findings"]) == 1


def test_one_run_in_two_arms_is_one_run_with_both_names(tmp_path: Path) -> None:
    arms(tmp_path, {"logit": {}})
    for seed in SEEDS:
        path = tmp_path / f"final/logit/seed{seed}/results.json"
        again = json.loads(path.read_text()) | {METHOD: "kd"}
        copy = tmp_path / f"final/kd/seed{seed}/results.json"
        copy.parent.mkdir(parents=True)
        copy.write_text(json.dumps(again))
    about, analysis = judged(tmp_path)
    assert about["runs"] == 4
    assert [(gain.method, gain.gain_pp) for gain in analysis.gains] == [
        ("logit", analysis.gains[0].gain_pp),
        ("kd", analysis.gains[0].gain_pp),
    ]
    assert findings(about, "copy") == []


def test_a_name_changes_no_configuration(tmp_path: Path) -> None:
    write(tmp_path / "a", FINAL)
    write(tmp_path / "b", FINAL, **{METHOD: "kd"})
    (first,), (second,) = (import_runs(tmp_path / name, "x")[1] for name in "ab")
    assert (first["id"], first["cell"]) == (second["id"], second["cell"])
    assert first["settings"] == second["settings"]
    assert (first["slots"][0]["method"], second["slots"][0]["method"]) == ("logit", "kd")


@pytest.mark.parametrize(
    ("keys", "why"),
    [
        ({METHOD: 5}, "study_method is 5, no name"),
        ({METHOD: ["kd"]}, r"study_method is \['kd'\], no name"),
        ({METHOD: ""}, "study_method is '', no name"),
        ({METHOD: "k" * 1001}, "no name of up to 1,000 printable"),
        ({METHOD: "kd\x1b[31m"}, "no name"),
        ({METHOD: "kd\nerror: x"}, "no name"),
        ({METHOD: "k\u202ed"}, "no name"),
        ({METHOD: "k\u200bd"}, "no name"),
        ({METHOD: "dkd"}, "study_method is dkd, but kd_type is logit"),
        ({METHOD: "none"}, "study_method is none, but kd_type is logit"),
        ({METHOD: "crd+logit"}, "but kd_type is logit"),
        ({METHOD: "kd", **PLAIN}, "study_method is kd, but kd_type is none"),
        ({ABLATION: "lr"}, "study_ablation and study_arm go together"),
        ({ARM: "base"}, "study_ablation and study_arm go together"),
        ({ABLATION: "lr", ARM: "other"}, "study_arm is 'other', no base or changed"),
        ({ABLATION: "l r", ARM: "base"}, "study_ablation is 'l r', no name"),
        ({ABLATION: "l" * 61, ARM: "base"}, "no name of up to 60"),
    ],
)
def test_what_no_study_could_say_is_no_result(
    tmp_path: Path, keys: dict[str, Any], why: str
) -> None:
    write(tmp_path, "final/good/seed0")
    write(tmp_path, "final/odd/seed1", seed=1, **keys)
    about, runs = import_runs(tmp_path, "x")
    assert [run["seed"] for run in runs] == [0]
    (unreadable,) = findings(about, "unreadable")
    assert unreadable["paths"] == ["final/odd/seed1/results.json"]
    assert re.search(why, unreadable["text"])


@pytest.mark.parametrize("name", ["logit", "a/b", "../up", "méthode ±", "k" * 1000, "crd+lo"])
def test_what_a_study_could_say_is_a_name(tmp_path: Path, name: str) -> None:
    write(tmp_path, FINAL, **{METHOD: name})
    (run,) = import_runs(tmp_path, "x")[1]
    assert run["slots"][0]["method"] == name


@pytest.mark.parametrize("method", ["logit+logit", "none+logit", "+", "logit++"])
def test_a_combination_that_cannot_be_is_a_method_that_nobody_knows(
    tmp_path: Path, method: str
) -> None:
    """Before, one such file refused the whole import."""
    write(tmp_path, "select/odd/seed0", kd_type=method)
    write(tmp_path, "final/good/seed1", seed=1)
    about, runs = import_runs(tmp_path, "x")
    assert {run["slots"][0]["method"] for run in runs} == {method, "logit"}
    assert about["methods"]["logit"]["label"] == "Logit-KD"


def test_null_is_no_name(tmp_path: Path) -> None:
    write(tmp_path, FINAL, **{METHOD: None, ABLATION: None, ARM: None})
    (run,) = import_runs(tmp_path, "x")[1]
    assert run["slots"][0]["method"] == "logit"


@pytest.mark.parametrize("other", [{METHOD: "mine", "kd_type": "dkd"}, {"kd_type": "mine"}])
def test_a_name_of_several_methods_is_taken_back_and_named(
    tmp_path: Path, other: dict[str, Any]
) -> None:
    arms(tmp_path, {"a": {METHOD: "mine"}, "b": other})
    about, analysis = judged(tmp_path)
    assert {gain.method for gain in analysis.gains} == {"logit", other["kd_type"]}
    (text,) = {finding["text"] for finding in findings(about, "contradiction")}
    assert text.startswith("mine names several methods (")


def test_a_grid_is_that_of_its_name(tmp_path: Path) -> None:
    tried: dict[str, dict[str, Any]] = {
        "a": {"alpha": 0.5},
        "b": {METHOD: "kd", "alpha": 0.3},
        "c": {METHOD: "kd", "alpha": 0.7},
    }
    for number, (name, keys) in enumerate(tried.items()):
        write(tmp_path, f"select/{name}/seed0", history=history(number / 10), **keys)
        write(tmp_path, f"final/{name}/seed1", seed=1, history=history(0.5 + number / 10), **keys)
    about, runs = import_runs(tmp_path, "x")
    tunings = evidence_of(about, runs, "x").tunings
    assert {tuning.method: len(tuning.candidates) for tuning in tunings} == {"kd": 2, "logit": 1}


def ablation(folder: Path, **other: Any) -> None:
    """Write both arms of an ablation of a named arm, which changes nothing that files say."""
    for number, arm in enumerate(("base", "changed")):
        keys = {METHOD: "kd", ABLATION: "slow", ARM: arm, "cell": arm, "role": "ablation"}
        keys |= other if arm == "changed" else {}
        epochs = history(0.1 + number / 10)
        write(folder, f"ablation/slow/{arm}/seed0", history=epochs, **keys)


def test_an_ablation_keeps_its_name(tmp_path: Path) -> None:
    ablation(tmp_path)
    about, analysis = judged(tmp_path)
    (entry,) = analysis.ablations
    assert (entry.name, entry.slot) == ("slow", "resnet50 → resnet18 kd")
    assert (entry.base.n, entry.changed.n) == (1, 1)
    assert entry.change == ""  # no digest of ours
    assert about["findings"] == []


@pytest.mark.parametrize("other", [{METHOD: "kd2"}, {"teacher": "resnet101"}])
def test_an_ablation_of_unlike_arms_is_none_and_named(
    tmp_path: Path, other: dict[str, Any]
) -> None:
    ablation(tmp_path, **other)
    write(tmp_path, FINAL, history=history(0.8))
    about, analysis = judged(tmp_path)
    assert analysis.ablations == ()
    assert findings(about, "ablation")[0]["text"].startswith("slow has several configurations")


def test_an_ablation_of_several_configurations_is_none(tmp_path: Path) -> None:
    ablation(tmp_path)
    keys = {METHOD: "kd", ABLATION: "slow", ARM: "base", "cell": "third"}
    write(tmp_path, "ablation/slow/third/seed0", history=history(0.8), **keys)
    about, analysis = judged(tmp_path)
    assert analysis.ablations == ()
    assert len(findings(about, "ablation")[0]["paths"]) == 3


def test_hyperparameters_that_are_true_or_false_are_shown(tmp_path: Path) -> None:
    write(tmp_path, FINAL, method_parameters={"alpha": 0.5, "standardise": True})
    (run,) = import_runs(tmp_path, "x")[1]
    assert run["parameters"]["standardise"] is True
