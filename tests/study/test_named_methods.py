"""Names of a study's own: for several methods in one run, or one method at several settings."""

import json
from pathlib import Path
from typing import Any

import pytest

from kdgap.cli.app import app
from kdgap.errors import BadInputError
from kdgap.explorer.repeat import repeat
from kdgap.judge.judging import analyse
from kdgap.judge.load import load
from kdgap.spec.method_card import read_cards
from kdgap.store.record import RunDirectory
from tests.study.conftest import Open, Work

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
