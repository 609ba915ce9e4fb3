"""What `make demo` runs is registered before it is trained; a slow test asks what it decides."""

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from kdgap import yamlio
from kdgap.planning.planner import plan_study
from kdgap.spec.study_file import read_study
from tests.conftest import ROOT

if TYPE_CHECKING:
    from subprocess import CompletedProcess

Command = Callable[..., "CompletedProcess[str]"]
FILE = ROOT / "configs" / "studies" / "demo.yaml"


def commands() -> list[list[str]]:
    """Return the words of each kdgap command of the target, those that it only prints as well."""
    lines = (ROOT / "Makefile").read_text().split("\ndemo: ", 1)[1].split("\n\n", 1)[0]
    texts = re.findall(r"\$\(RUN\) ([^#\"\n]+)", lines.replace("$(WORKERS)", "2"))
    return [shlex.split(text) for text in texts]


def test_make_demo_runs_the_demo_and_names_what_it_leaves() -> None:
    study, _ = read_study(yamlio.load(FILE), {})
    runs = [words for words in commands() if words[0] == "run"]
    assert runs[0] == ["run", "configs/studies/demo.yaml", "--workers", "2"]
    assert all((ROOT / words[1]).is_file() for words in runs)
    others = [words for words in commands() if words[0] != "run"]
    assert others
    assert {words[1] for words in others} == {f"runs/{study.name}"}


def test_the_demo_names_its_question_before_it_is_trained() -> None:
    study, where = read_study(yamlio.load(FILE), {})
    plan = plan_study(study, where)
    assert plan.open_slots == {}
    assert study.title
    assert study.main_claim in {claim.name for claim in study.claims}
    arms = {(p.teacher, p.student, m) for p in study.pairs for m in study.methods}
    assert {(t.teacher, t.student, t.method) for c in study.claims for t in c.terms} <= arms
    assert study.smoke is False


def test_the_seeds_of_the_demo_are_not_those_that_chose_its_question() -> None:
    pilot = re.search(r"pilot on seeds (\d+) to (\d+)", FILE.read_text())
    assert pilot is not None
    study, _ = read_study(yamlio.load(FILE), {})
    used = {*study.finals.seeds, *study.teachers.seeds}
    assert used.isdisjoint(range(int(pilot[1]), int(pilot[2]) + 1))
    first, *_, last = study.finals.seeds
    assert study.finals.seeds == list(range(first, last + 1))  # none was left out


@pytest.mark.slow
def test_the_demo_decides_its_main_claim_and_a_gain(kdgap: Command, workdir: Path) -> None:
    done = kdgap("run", str(FILE), "--workers", "2", "--out", "demo")
    assert done.returncode == 0, done.stderr
    analysis = json.loads((workdir / "demo" / "analysis" / "analysis.json").read_text())
    main = analysis["study"]["main_claim"]
    outcome = next(claim["outcome"] for claim in analysis["contrasts"] if claim["name"] == main)
    assert outcome in ("established", "contradicted")
    assert {gain["verdict"] for gain in analysis["gains"]} & {"gain", "harm"}
