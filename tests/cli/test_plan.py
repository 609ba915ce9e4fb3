"""`kdgap plan`: what a study would do, cost and show, without a byte written or an image read."""

import json
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from subprocess import CompletedProcess

Command = Callable[..., "CompletedProcess[str]"]
Refused = Callable[..., str]

STUDIES = Path(__file__).resolve().parents[2] / "configs" / "studies"
STUDY = """\
name: small
description: A small study [of digits]
data: {name: digits}
models:
  big: {name: resnet14}
  one: {name: resnet8}
pairs:
  - {teacher: big, student: one}
methods:
  logit: {alpha: [0.25, 0.5]}
  feature: {}
selection: {seeds: [100]}
finals: {seeds: [0, 1, 2]}
ablations:
  rate: {of: {student: one}, change: {recipe.lr: 0.05}, seeds: [0, 9]}
"""
RUNS = 1 + 2 + 3 + 3 + 3  # teacher, selection, baselines, finals without a choice, ablation
OPEN = 3  # finals of Logit-KD


@pytest.fixture(autouse=True)
def _touches_no_data(monkeypatch: pytest.MonkeyPatch) -> None:
    def touched(*_: object, **__: object) -> None:
        pytest.fail("data was touched")

    for name, module in list(sys.modules.items()):
        if name.startswith("kdgap") and hasattr(module, "load_dataset"):
            monkeypatch.setattr(module, "load_dataset", touched)


@pytest.fixture
def study(workdir: Path) -> Path:
    """A study file beside the current folder, so that this stays empty."""
    path = workdir.parent / "study.yaml"
    path.write_text(STUDY)
    return path


@pytest.fixture
def as_json(kdgap: Command, study: Path) -> Callable[..., Any]:
    def run(*words: object) -> Any:
        done = kdgap("plan", study, *words, "--json")
        assert (done.returncode, done.stderr) == (0, "")

        def refuse(constant: str) -> None:
            pytest.fail(f"{constant} is no JSON")

        return json.loads(done.stdout, parse_constant=refuse)

    return run


@pytest.mark.parametrize("words", [(), ("--runs",), ("--json",), ("--out", "elsewhere")])
def test_a_plan_writes_nothing(
    kdgap: Command, study: Path, workdir: Path, words: tuple[str, ...]
) -> None:
    before = study.read_bytes()
    assert kdgap("plan", study, "--no-measure", *words).returncode == 0
    assert list(workdir.iterdir()) == []
    assert [path.name for path in study.parent.iterdir() if path != workdir] == [study.name]
    assert study.read_bytes() == before
    assert list(Path(os.environ["KDGAP_CACHE"]).rglob("*")) == []


def test_a_plan_leaves_a_study_directory_as_it_is(
    kdgap: Command, study: Path, workdir: Path
) -> None:
    folder = workdir / "runs" / "small"
    folder.mkdir(parents=True)
    (folder / "notes.txt").write_text("mine")
    stamp = folder.stat().st_mtime_ns
    assert kdgap("plan", study).returncode == 0
    assert [path.name for path in folder.iterdir()] == ["notes.txt"]
    assert folder.stat().st_mtime_ns == stamp


def test_a_plan_shows_roles_counts_ids_and_what_is_open(
    kdgap: Command, study: Path, as_json: Callable[..., Any]
) -> None:
    done = kdgap("plan", study)
    data = as_json()
    assert done.stdout.startswith("small: A small study [of digits]\n")
    assert f"{RUNS + OPEN} runs in " in done.stdout
    assert "0 done, 0 stale in runs/small" in " ".join(done.stdout.split())
    assert "after selection" in done.stdout
    for role in ("teacher", "selection", "baseline", "final", "ablation"):
        first = next(run for run in data["runs"] if run["roles"][0] == role)
        row = next(line for line in done.stdout.splitlines() if role in line)
        assert first["id"][:8] in row


def test_a_plan_shows_the_cost_and_where_the_estimate_comes_from(
    kdgap: Command, study: Path
) -> None:
    text = " ".join(kdgap("plan", study, "--device", "cpu").stdout.split())
    time = r"Time left: about \S.* on cpu with 1 worker \(\S.* if each run had its own teacher"
    assert re.search(time, text)
    assert "It comes from assumed speeds, 40 GFLOP/s a worker and 5 ms a step." in text
    assert re.search(r"Disk: about [0-9.e-]+ GiB", text)
    assert "75,002" in text  # parameters of a ResNet-8 for one channel and ten classes


def test_a_plan_says_what_its_seeds_can_show(kdgap: Command, study: Path) -> None:
    text = kdgap("plan", study).stdout
    assert "What 3 seeds can show." in text
    assert "p = 0.1, 0.2 after correction." in text  # 2 of 20 relabellings, two gains
    assert (
        "What 1 seed can show: nothing" in kdgap("plan", study, "--set", "finals.seeds=[0]").stdout
    )


def test_a_plan_says_what_is_corrected_over_the_reference(
    kdgap: Command, study: Path, as_json: Callable[..., Any]
) -> None:
    study.write_text(STUDY.replace("feature: {}", "feature: {}\n  label_smoothing: {eps: 0.1}"))
    words = ("--set", "statistics.reference=logit")
    floors = as_json(*words)["forecast"]["floors"]
    assert (floors["family"], floors["reference_family"]) == (3, 2)
    assert floors["mde_pp"] < floors["mde_over_reference_pp"] < floors["mde_corrected_pp"]
    text = " ".join(kdgap("plan", study, *words).stdout.split())
    assert "after correction for 2 differences, a family apart" in text
    assert "reference_family" not in as_json()["forecast"]["floors"]
    done = kdgap("plan", study, "--set", "statistics.reference=logti")
    assert done.returncode == 2
    assert "unknown method 'logti' (did you mean 'logit'?)" in done.stderr


def test_a_paired_plan_has_the_floors_of_a_paired_test_and_says_what_they_assume(
    kdgap: Command, study: Path, as_json: Callable[..., Any]
) -> None:
    keys = ("statistics.test=paired", "finals.seeds=[0,1,2,3,4]", "statistics.expected_std_pp=1")
    words = [word for key in keys for word in ("--set", key)]
    floors = as_json(*words)["forecast"]["floors"]
    assert floors["mde_pp"] == pytest.approx(2.38, abs=0.005)
    assert floors["mde_corrected_pp"] == pytest.approx(2.90, abs=0.005)
    assert "(correlation 0), a pessimistic guess" in " ".join(
        kdgap("plan", study, *words).stdout.split()
    )
    assert "correlation" not in kdgap("plan", study).stdout


@pytest.mark.parametrize(
    ("words", "warning"),
    [
        ((), "one teacher checkpoint a pair"),
        ((), "unequal tuning budgets, in configurations: logit 2, feature 1"),
        (("data.limit=50",), "smoke run"),
        (("selection.seeds=[0]", "selection.allow_overlap=true"), "among the final seeds"),
        (("budgets.hours=1e-9",), "hours are left to do, the budget is 1e-09"),
        (("budgets.gib=1e-9",), "GiB of disk, the budget is 1e-09"),
    ],
)
def test_warnings_go_to_stderr_one_to_a_line(
    kdgap: Command, study: Path, words: tuple[str, ...], warning: str
) -> None:
    done = kdgap("plan", study, *(part for word in words for part in ("--set", word)))
    assert done.returncode == 0
    notes = done.stderr.splitlines()
    assert all(note.startswith("note: ") for note in notes)
    assert len([note for note in notes if warning in note]) == 1
    assert warning not in done.stdout


def test_a_study_that_chooses_on_the_test_images_says_so(kdgap: Command, study: Path) -> None:
    declared = ("data.val_size=0", "selection.split=test", "selection.allow_test=true")
    done = kdgap("plan", study, *(part for word in declared for part in ("--set", word)))
    assert "chosen on the test images (declared)" in done.stderr
    assert "chosen on the test images" not in kdgap("plan", study).stderr


def test_json_has_the_plan_the_states_and_the_forecast(as_json: Callable[..., Any]) -> None:
    data = as_json()
    assert len(data["runs"]) == RUNS
    assert (data["open_runs"], [slot["runs"] for slot in data["open"]]) == (OPEN, [OPEN])
    assert data["states"] == {run["id"]: "new" for run in data["runs"]}
    assert len(data["states"]) == RUNS
    assert data["stale"] == []
    assert data["counts"]["final"] == 6
    assert not data["selection_complete"]
    ahead = data["forecast"]
    assert 0 < ahead["seconds_low"] < ahead["seconds"] < ahead["seconds_high"]
    assert ahead["seconds"] < ahead["seconds_alone"]
    assert "assumed" in ahead["time_source"]
    assert ahead["disk_bytes"] > 0
    assert ahead["floors"]["family"] == 2
    assert ahead["floors"]["mde_pp"] < ahead["floors"]["mde_corrected_pp"]


@pytest.mark.parametrize("name", sorted(path.stem for path in STUDIES.glob("*.yaml")))
def test_every_study_of_the_repository_has_a_plan_in_strict_json(
    kdgap: Command, workdir: Path, name: str
) -> None:
    done = kdgap("plan", STUDIES / f"{name}.yaml", "--json", "--device", "cpu")
    data = json.loads(done.stdout)
    assert data["study"]["name"] == name
    if name == "imagenet_r34_r18":  # says how many images it expects
        assert data["forecast"]["data_bytes"] == (1_281_167 + 50_000) * 224 * 224 * 3
    if name == "folder":  # whose images are not here
        assert data["forecast"]["seconds"] is None
    else:
        assert data["forecast"]["seconds"] > 0
    assert list(workdir.iterdir()) == []


def test_every_run_is_listed_once_with_its_id_seed_and_state(
    kdgap: Command, study: Path, as_json: Callable[..., Any]
) -> None:
    lines = kdgap("plan", study, "--runs").stdout.splitlines()
    for run in as_json()["runs"]:
        rows = [line for line in lines if run["id"][:12] in line]
        assert len(rows) == 1
        cells = [cell.strip() for cell in re.split(r"[│┃]|\s{2,}", rows[0]) if cell.strip()]
        assert cells[0] == run["id"][:12]
        assert cells[1] == ", ".join(run["roles"])
        assert cells[-2:] == [str(run["seed"]), "new"]
    assert not any(run["id"][:12] in kdgap("plan", study).stdout for run in as_json()["runs"])


def test_a_run_with_two_roles_is_listed_with_both(kdgap: Command, study: Path) -> None:
    assert "baseline, ablation" in kdgap("plan", study, "--runs").stdout


def test_set_beats_the_file_and_out_names_the_directory(
    kdgap: Command, study: Path, as_json: Callable[..., Any]
) -> None:
    data = as_json("--set", "finals.seeds=[5]", "--set", "name=other")
    assert data["study"]["finals"]["seeds"] == [5]
    assert "stale in runs/other" in " ".join(
        kdgap("plan", study, "--set", "name=other").stdout.split()
    )
    assert "stale in here" in " ".join(kdgap("plan", study, "--out", "here").stdout.split())


def test_one_plan_is_printed_the_same_twice(kdgap: Command, study: Path) -> None:
    assert kdgap("plan", study, "--json").stdout == kdgap("plan", study, "--json").stdout


@pytest.mark.parametrize(
    ("here", "instead", "expected"),
    [
        ("finals:", "finls:", "{file}:13: unknown key 'finls' (did you mean 'finals'?)"),
        ("[0, 1, 2]", "[0, 0]", "{file}:13: finals.seeds: seed 0 twice"),
        ("logit:", "logits:", "{file}:10: unknown method 'logits' (did you mean 'logit'?)"),
        ("digits}", "digts}", "{file}:3: unknown data set 'digts' (did you mean 'digits'?)"),
        ("student: one}\n", "student: on}\n", "{file}:8: student: unknown model 'on'"),
        ("recipe.lr", "recipe.rl", "{file}:15: recipe.rl: no field of a run"),
        ("name: small", "name: ../small", "{file}:1: name: a name is "),
        ("[100]", "[1]", "{file}:12: selection seed 1 is among the final seeds"),
        ("name: small", "name: [", "{file}:"),
    ],
)
def test_a_bad_study_is_refused_in_one_line(
    kdgap: Command, refused: Refused, study: Path, here: str, instead: str, expected: str
) -> None:
    study.write_text(STUDY.replace(here, instead))
    assert refused(kdgap, "plan", study).startswith(expected.format(file=study))


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--set", "finals.seeds"), "--set finals.seeds: expected key.path=value"),
        (("--set", "finals.seeds=[]"), "command line: finals.seeds: "),
        (("--set", "recipe.epochs=0"), "command line: epochs: "),
        (("--set", "name.x=1"), "--set name.x: name is no group of keys"),
        (("--device", "abacus"), "device"),
        (("--json", "--set", "finals.seeds=3"), "command line: finals.seeds: "),
    ],
)
def test_bad_words_are_refused_in_one_line(
    kdgap: Command, refused: Refused, study: Path, words: tuple[str, ...], expected: str
) -> None:
    assert expected in refused(kdgap, "plan", study, *words)


def test_a_study_that_is_not_there_is_refused(
    kdgap: Command, refused: Refused, workdir: Path
) -> None:
    assert refused(kdgap, "plan", "none.yaml").startswith("cannot read none.yaml")
    (workdir / "empty").mkdir()
    assert "no study was run here" in refused(kdgap, "plan", "empty")
    assert "go with a study file" in refused(kdgap, "plan", "empty", "--set", "name=a")


def test_a_study_is_planned_for_a_machine_and_images_that_are_not_here(
    kdgap: Command, workdir: Path
) -> None:
    study = STUDIES / "imagenet_r34_r18.yaml"
    done = kdgap("plan", study, "--device", "a100")
    assert done.returncode == 0, done.stderr
    words = " ".join(done.stdout.split())
    assert "13 runs in 4 cohorts" in words
    assert re.search(r"Time left: about [\d.]+ days \([\d,]+ hours\) on a100", words)
    assert "not measured here, but estimated from 2,470 images/s of torchvision:resnet50" in words
    assert "NVIDIA DeepLearningExamples" in words
    assert "187 GiB of decoded images in the cache" in words
    assert list(workdir.iterdir()) == []
    done = kdgap("plan", study, "--device", "a100", "--set", "precision=fp32")
    assert (done.returncode, done.stdout) == (2, "")
    assert "no published speed for fp32" in done.stderr


# Time


def test_the_time_has_a_range_and_says_where_it_comes_from(kdgap: Command, study: Path) -> None:
    done = kdgap("plan", study)
    words = " ".join(done.stdout.split())
    between = r"Time left: about [\d.]+ .*, between [\d.]+ .* and [\d.]+ .*, on cpu with 1 worker"
    assert re.search(between, words)
    assert "timing" not in done.stderr


def test_more_workers_take_less_time_and_a_budget_is_held_against_what_is_shown(
    as_json: Callable[..., Any],
) -> None:
    alone, two = (as_json("--workers", workers)["forecast"] for workers in (1, 2))
    assert two["seconds"] < alone["seconds"]
    assert two["workers"] == 2
    hours = (alone["seconds"] + two["seconds"]) / 2 / 3600
    for workers, codes in ((1, ["over-budget-hours"]), (2, [])):
        ahead = as_json("--workers", workers, "--set", f"budgets.hours={hours}")["forecast"]
        assert [notice["code"] for notice in ahead["notices"]] == codes


def test_a_plan_times_what_it_does_not_know_once(
    kdgap: Command, study: Path, workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kdgap.study.duration.SHORT_SECONDS", 60.0)  # is never broken off
    silent = kdgap("plan", study, "--no-measure")
    assert "timing" not in silent.stderr
    assert list(Path(os.environ["KDGAP_CACHE"]).rglob("*")) == []
    first, second = kdgap("plan", study), kdgap("plan", study)
    assert "timing a few steps of 4 kinds of run on this machine" in first.stderr
    assert "timed on this machine" in first.stdout
    assert "timing" not in second.stderr
    assert second.stdout == first.stdout
    assert list(workdir.iterdir()) == []
    kept = {path.parent.name for path in Path(os.environ["KDGAP_CACHE"]).rglob("*.json")}
    assert kept == {"measured"}
