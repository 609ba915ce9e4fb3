"""Names of a study's own: for several methods in one run, or one method at several settings."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from kdgap.cli.app import app
from kdgap.errors import BadInputError
from kdgap.explorer.repeat import repeat
from kdgap.judge.judging import analyse, judged_by
from kdgap.judge.load import load
from kdgap.report.collect import best_configurations, collect
from kdgap.report.page.document import report_html
from kdgap.report.tables.files import write_tables
from kdgap.report.tables.measured import runs as runs_table
from kdgap.spec.claims import Statistics
from kdgap.spec.method_card import read_cards
from kdgap.store.imports.directory import ImportedDirectory
from kdgap.store.imports.imported import import_runs
from kdgap.store.progress import survey
from kdgap.store.record import RunDirectory
from kdgap.store.reference import export_study
from tests.study.conftest import Open, Work, runs

METHODS: dict[str, Any] = {
    "logit": {"alpha": 0.5},
    "hot": {"method": "logit", "alpha": 0.5, "temperature": [8.0, 16.0]},
    "both": {"method": ["logit", "itrd"], "itrd_weight": 0.5},
    "lone": {"method": ["logit"], "logit_weight": 9.0, "ce_weight": 0.1},
    "label_smoothing": {},
    "simkd": {},
}
CLAIMS = [
    {
        "name": "both-over-logit",
        "text": "Both beat one",
        "measure": "accuracy",
        "terms": [
            {"weight": 1, "teacher": "big", "student": "little", "method": "both"},
            {"weight": -1, "teacher": "big", "student": "little", "method": "hot"},
        ],
    }
]


def test_a_study_knows_its_own_names_from_plan_to_verdict(worked: Work) -> None:
    directory = worked(methods=METHODS, claims=CLAIMS)
    plan = directory.plan()
    assert list(plan["methods"]) == ["none", *METHODS]
    both = plan["methods"]["both"]
    assert (both["label"], both["method"]) == ("both", "itrd+logit")
    assert "method" not in plan["methods"]["logit"]
    evidence = load(directory.path)
    assert evidence.findings == ()
    (larger,) = (n.text for n in evidence.notices if n.code == "other-network")
    assert "simkd trains and tests resnet8x0.125 with a connector" in larger
    analysis = analyse(load(directory.path))
    assert {gain.method for gain in analysis.gains} == set(METHODS)
    labels = {gain.method: gain.label for gain in analysis.gains}
    assert labels["both"] == "both"
    assert labels["logit"] == "Logit-KD"
    (contrast,) = analysis.contrasts
    assert contrast.estimate_pp is not None
    hot = [run for run in plan["runs"] if run["slots"][0]["method"] == "hot"]
    assert {run["parameters"]["temperature"] for run in hot} == {8.0, 16.0}


ODD = {
    "../../up": {"method": "logit", "alpha": 0.3},
    "..": {"method": "logit", "alpha": 0.4},
    "/": {"method": "logit", "alpha": [0.6, 0.7]},
    "méthode, 1 % ✓": {"method": "logit", "alpha": 0.8},
    "itrd+logit": {},
    "l" * 500: {"method": ["logit"]},
}
SLOW = {
    "of": {"teacher": "big", "student": "little", "method": "lone"},
    "change": {"recipe.lr": 0.01},
    "seeds": [0],
}


def test_an_export_keeps_every_name_that_the_study_gave(worked: Work, tmp_path: Path) -> None:
    methods = {name: METHODS[name] for name in ("logit", "hot", "both", "lone")} | ODD
    methods["cold"] = METHODS["logit"] | {"method": "logit"}  # the runs of another arm
    few = {"name": "digits", "limit": 64}
    directory = worked(methods=methods, ablations={"slow": SLOW}, data=few)
    target = tmp_path / "exported" / "to"
    export_study(directory, target)
    assert [path.name for path in target.parent.iterdir()] == ["to"]
    read = ImportedDirectory(tmp_path / "read")
    read.write(*import_runs(target, "read"))
    ours, theirs = (load(path) for path in (directory.path, read.path))
    # Networks go by their architecture, so that files of others and a claim on both fit.
    first, second = (
        {gain.method: (gain.label, gain.n, gain.gain_pp, gain.tried) for gain in analysis.gains}
        for analysis in (analyse(ours), analyse(theirs))
    )
    assert second == first
    assert set(first) == set(methods)
    assert [entry.name for entry in analyse(theirs).ablations] == ["slow"]
    assert not {finding.code for finding in theirs.findings} - {"duplicate"}
    for evidence, folder in ((ours, "one"), (theirs, "two")):
        analysis = analyse(judged_by(evidence, Statistics(reference="lone")))
        assert {entry.method for entry in analysis.reference_gains} == set(methods) - {"lone"}
        write_tables(evidence, analysis, tmp_path / folder)
    for table in ("gains.csv", "reference_gains.csv", "selection.csv", "fidelity.csv"):
        rows = [_methods(tmp_path / folder / table) for folder in ("one", "two")]
        assert rows[0] == rows[1] != set()
    groups, remarks = collect(target / "select")
    assert remarks == []
    assert {name.partition("x0.125_")[2] for name in best_configurations(groups)} == {"hot", "/"}


def test_what_is_shown_of_a_run_names_every_arm_that_it_is_in(
    worked: Work, capsys: pytest.CaptureFixture[str]
) -> None:
    same = {"method": "logit", "alpha": 0.5}
    directory = worked(
        methods={"logit": {"alpha": 0.5}, "kd": same, "lone": METHODS["lone"]},
        selection=None,
        recipe={"epochs": 1, "batch_size": 64, "clip_scope": "student_only"},
    )
    final = next(run for run in runs(directory, "final") if len(run["slots"]) == 2)
    arms = ("big → little logit", "big → little kd")
    both = "; ".join(arms)
    assert {row.slot for row in survey(directory).rows if row.roles == ["final"]} == {
        both,
        "big → little lone",
    }
    for words in (("plan", directory.path, "--runs"), ("status", directory.path, "--json")):
        app([str(word) for word in words], standalone_mode=False)
        assert both in " ".join(capsys.readouterr().out.split())
    app(["show", str(directory.path / final["path"]), "--json"], standalone_mode=False)
    assert json.loads(capsys.readouterr().out)[0]["study_methods"] == ["logit", "kd"]
    app(["show", str(directory.path / final["path"])], standalone_mode=False)
    assert "resnet8x0.125, Logit-KD, kd from resnet8" in " ".join(capsys.readouterr().out.split())
    evidence = load(directory.path)
    shown = {row[2] for row in runs_table(evidence).rows}
    assert {"Logit-KD, kd", "lone", "plain training"} == shown
    page = report_html(evidence, analyse(evidence))
    assert ": big → little Logit-KD; big → little kd · alpha" in page


def test_a_run_says_nothing_of_a_study_whose_plan_is_lost(
    worked: Work, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = worked(methods={"kd": {"method": "logit"}}, selection=None)
    (final, *_) = runs(directory, "final")
    (directory.path / "plan.json").write_text("{")
    app(["show", str(directory.path / final["path"]), "--json"], standalone_mode=False)
    assert json.loads(capsys.readouterr().out)[0]["study_methods"] == []


def test_what_has_to_be_known_of_a_plan_goes_by_the_names_of_the_study(opened: Open) -> None:
    workspace = opened(
        methods={"strong": {"method": "at", "weight": 500.0}, "swap": {"method": "simkd"}},
        selection=None,
        models={
            "big": {"name": "resnet8", "width": 0.5},
            "little": {"name": "resnet8", "width": 0.125},
        },
    )
    plan, _ = workspace.plan()
    texts = {notice.code: notice.text for notice in workspace.notices(plan)}
    assert texts["weight-clipped"].startswith("strong weighs its loss by 500")
    assert texts["other-network"].startswith("swap trains and tests resnet8x0.125")


def _methods(table: Path) -> set[str]:
    with table.open(newline="") as stream:
        return {row["method"] for row in csv.DictReader(stream)}


def test_an_export_of_registered_names_alone_is_as_ever(worked: Work, tmp_path: Path) -> None:
    directory = worked(methods={"logit": {"alpha": 0.5}, "itrd+logit": {}})
    export_study(directory, tmp_path / "to")
    files = [json.loads(path.read_text()) for path in (tmp_path / "to").rglob("results.json")]
    assert files
    assert not [key for file in files for key in file if key.startswith("study_")]


def test_what_a_named_method_trained_is_trained_again_from_its_flat_file(
    worked: Work, tmp_path: Path
) -> None:
    directory = worked(methods={"both": METHODS["both"], "simkd": {}})
    plan = directory.plan()
    cards = read_cards(plan["methods"])
    for planned in plan["runs"]:
        if planned["slots"][0]["method"] not in ("both", "simkd") or planned["seed"]:
            continue
        first = RunDirectory(directory.path / planned["path"]).read()
        repeated = repeat(first.run, directory.path, cards)
        assert repeated.file is not None, repeated.reason
        file = tmp_path / f"{planned['id'][:6]}.yaml"
        file.write_text(f"{repeated.file}")
        out = tmp_path / planned["id"][:6]
        assert not app(["train", str(file), "--set", f"output_dir={out}"], standalone_mode=False)
        second = RunDirectory(out).read()
        assert second.id == first.id
        assert second.results["weight_hash_last"] == first.results["weight_hash_last"]


@pytest.mark.parametrize(
    ("methods", "words"),
    [
        ({"dkd": {"method": "logit"}}, "'dkd' is a method itself; give logit another name"),
        ({"mine": {"method": "none"}}, "none is what every method is compared with"),
        ({"mine": {"method": ["logit", "logit"]}}, "a value is given twice|logit is named twice"),
        ({"mine": {"method": ["logit", "lojit"]}}, r"unknown method 'lojit' \(did you mean"),
        ({"mine": {}}, "unknown method 'mine'"),
        ({"mine": {"method": ["logit", "crd"], "alpha": 0.5}}, "alpha"),
        ({"mine": {"method": ["logit", "crd"], "crd_weight": -1.0}}, "crd_weight"),
        ({"logit": {"stage": 2}}, "stage"),
        ({"mine": {"method": ["logit", "fitnet"], "fitnet_stage": 9}}, "stage 9, but the student"),
    ],
)
def test_what_cannot_be_is_one_line_before_anything_is_written(
    opened: Open, tmp_path: Path, methods: dict[str, Any], words: str
) -> None:
    with pytest.raises(BadInputError, match=words) as refused:
        opened(methods=methods, selection=None).plan()
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "study").exists()


def test_the_card_of_before_is_read_as_ever() -> None:
    cards = read_cards(json.loads('{"logit": {"label": "Logit-KD"}}'))
    assert cards["logit"].method is None
