"""Kinds of claims: what every kind has, and what is refused before anything is trained."""

from itertools import pairwise
from pathlib import Path

import pytest

from kdgap import yamlio
from kdgap.errors import BadInputError
from kdgap.judge.kinds import KINDS, kind_of
from kdgap.judge.load import check_kinds, load_claims
from kdgap.spec import read_study
from kdgap.stats.contrast import welch

SPREAD = ((1.0, -1.0), (0.2, 0.1))
CLAIM = """\
claims:
  - name: helps
    text: It helps
    says: {}
    terms: [{{teacher: big, student: little, method: logit, weight: 1}}]
"""
STUDY = """\
name: tiny
data: {{name: digits}}
models: {{big: {{name: resnet8}}, little: {{name: resnet8}}}}
pairs: [{{teacher: big, student: little}}]
methods: {{logit: {{alpha: 0.5}}}}
finals: {{seeds: [0, 1]}}
{}"""


@pytest.mark.parametrize("name", list(KINDS))
def test_each_kind_says_all_that_is_asked_of_it(name: str) -> None:
    words = [kind.words(0.2) for _, kind in KINDS.items()]
    assert {frozenset(one) for one in words} == {frozenset(words[0])}
    own = kind_of(name).words(0.25)
    assert all(own[key] for key in own if key != "truly")
    kind = kind_of(name)
    assert kind.name == name
    assert kind.__class__.__doc__


@pytest.mark.parametrize("name", list(KINDS))
@pytest.mark.parametrize("level", [0.05, 0.01])
def test_power_rises_with_seeds_and_seeds_needed_have_it(name: str, level: float) -> None:
    kind = kind_of(name)
    powers = [kind.power(0.2, SPREAD, n, level) for n in (3, 5, 10, 20, 40)]
    assert all(a <= b + 1e-9 for a, b in pairwise(powers))
    needed = kind.seeds_needed(0.2, SPREAD, 0.8, level)
    assert needed is not None
    assert (
        kind.power(0.2, SPREAD, needed, level) >= 0.8 > kind.power(0.2, SPREAD, needed - 1, level)
    )
    assert kind.smallest(SPREAD, needed, 0.8, level) <= 0.2 + 1e-6


@pytest.mark.parametrize("name", list(KINDS))
def test_what_shows_a_claim_does_not_refute_it(name: str) -> None:
    """Far on one side it is shown or refuted, never both; and each kind can be either."""
    kind, seen = kind_of(name), set()
    for shift in (-1.0, 0.0, 1.0):
        arm = [shift + step / 100 for step in range(8)]
        estimate = welch([arm, [step / 100 for step in range(8)]], [1.0, -1.0])
        assert estimate is not None
        may_hold, may_fail = kind.allows(estimate.value)
        holds = may_hold and kind.p(estimate, 0.2) < 0.01
        fails = may_fail and kind.p_against(estimate, 0.2) < 0.01
        assert not (holds and fails)
        seen |= {"shown"} if holds else {"refuted"} if fails else set()
    assert seen == {"shown", "refuted"}


def test_a_kind_that_there_is_not_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "claims.yaml"
    path.write_text(CLAIM.format("not_bellow"))
    with pytest.raises(BadInputError) as caught:
        load_claims(path)
    text = str(caught.value)
    assert text.startswith(f"{path}:4: claims.0.says: no kind of claim, got 'not_bellow'")
    assert "did you mean 'not_below'" in text
    assert "\n" not in text
    study, where = read_study(yamlio.parse(STUDY.format(CLAIM.format("maybe")), "study.yaml"), {})
    with pytest.raises(BadInputError, match=r"study\.yaml:10: claims\.0\.says: .*known: above"):
        check_kinds(study.claims, where)


@pytest.mark.parametrize("command", ["run", "plan"])
def test_it_is_refused_before_anything_starts(
    command: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from kdgap.cli import run
    from kdgap.cli.app import app

    (tmp_path / "study.yaml").write_text(STUDY.format(CLAIM.format("maybe")))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["kdgap", command, "study.yaml"])
    with pytest.raises(SystemExit) as ended:
        run(app)
    assert ended.value.code == 2
    assert "study.yaml:10: claims.0.says: no kind of claim, got 'maybe'" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["study.yaml"]
