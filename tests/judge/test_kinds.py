"""Kinds of claims: what every kind has, and what is refused before anything is trained."""

import re
from collections.abc import Hashable
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path

import pytest

from kdgap import yamlio
from kdgap.errors import BadInputError
from kdgap.judge.analysis import ClaimResult, Settings
from kdgap.judge.comparison import Comparison
from kdgap.judge.kinds import KINDS, kind_of
from kdgap.judge.kinds.kind import ClaimKind
from kdgap.judge.load import check_kinds, load_claims
from kdgap.judge.reasons import reasons
from kdgap.judge.words import ClaimWords, Goal, own_seeds_words
from kdgap.spec.study_file import read_study
from kdgap.stats.contrast import Estimate, welch
from tests.judge.builders import analyse, claim, pair_of

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
    own = asdict(kind_of(name).words(0.25))
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


def judged(name: str, shift: float, spread: float = 0.01) -> ClaimResult:
    """Judge a claim of a kind about a gain that is truly `shift` points, seen over eight seeds."""
    steps = [spread * step for step in range(8)]
    term = {"weight": 1, "teacher": "big", "student": "little", "method": "logit"}
    pair = pair_of([95 + step for step in steps], [95 + shift + step for step in steps],
                   claims=(claim("it", [term], says=name),))  # fmt: skip
    (contrast,) = analyse(pair).contrasts
    assert isinstance(contrast, ClaimResult)
    return contrast


SETTINGS = analyse(pair_of([95.0, 95.1], [95.2, 95.3])).settings
MARGIN = SETTINGS.smallest_effect_pp


@pytest.mark.parametrize("name", list(KINDS))
def test_what_shows_a_claim_establishes_it_and_what_refutes_it_contradicts_it(name: str) -> None:
    kind = kind_of(name)
    shown, refuted = (judged(name, at * MARGIN) for at in (kind.shown_by, kind.refuted_by))
    assert (shown.outcome, refuted.outcome) == ("established", "contradicted")
    words = kind.words(MARGIN)
    assert words.opposite in refuted.sentence
    assert words.opposite not in shown.sentence


@pytest.mark.parametrize("name", list(KINDS))
def test_every_outcome_has_its_words_and_its_reasons(name: str) -> None:
    kind = kind_of(name)
    open_claim = judged(name, kind.shown_by * MARGIN, spread=1.0)
    assert open_claim.outcome == "not established"
    contrasts = [judged(name, at * MARGIN) for at in (kind.shown_by, kind.refuted_by)] + [
        open_claim
    ]
    steps = [tuple(reasons(contrast, SETTINGS, 0.5)) for contrast in contrasts]
    assert len(set(steps)) == 3
    assert all(text[0].isupper() and text.endswith(".") for texts in steps for text in texts)
    assert all(kind.outcome_words(contrast, SETTINGS) for contrast in (contrasts[0], open_claim))


@pytest.mark.parametrize("name", list(KINDS))
def test_the_other_sum_is_the_opposite_claim_where_one_test_decides(name: str) -> None:
    kind = kind_of(name)
    steps = [step / 100 for step in range(8)]
    value, other = (
        welch([[shift + step for step in steps], steps], [1.0, -1.0])
        for shift in (kind.shown_by * MARGIN, kind.refuted_by * MARGIN)
    )
    assert value is not None
    assert other is not None
    assert kind.p(value, MARGIN) < 0.01 or not kind.allows(value.value)[0]
    assert kind.p_against(other, MARGIN) < 0.01
    holds, fails = kind.allows(value.value), kind.allows(other.value)
    assert holds[0]
    assert fails[1]


def test_opposite_claims_of_one_sum_are_one_of_the_family() -> None:
    term = {"weight": 1, "teacher": "big", "student": "little", "method": "logit"}
    claims = tuple(claim(says, [term], says=says) for says in ("above", "below"))
    values = [95.0, 95.1, 94.9, 95.05]
    up, down = analyse(pair_of(values, [v + 1 for v in values], claims=claims)).contrasts
    assert (up.outcome, down.outcome) == ("established", "contradicted")
    assert up.claims_in_family == down.claims_in_family == 1
    assert "below zero" in kind_of("below").words(0.2).says


class Differs(ClaimKind):
    """Of neither family: shown by a difference of any sign, refuted where there is none."""

    name = "differs"
    shown_by, refuted_by = 5.0, 0.0

    def p(self, estimate: Estimate, margin: float) -> float:
        return estimate.p()

    def p_against(self, estimate: Estimate, margin: float) -> float:
        return estimate.p_equivalent(margin)

    def test_of(self, comparison: Comparison) -> Hashable:
        return "difference", comparison.key  # the test of `above`

    def words(self, margin: float) -> ClaimWords:
        return ClaimWords(
            *("that there is a difference", "there is a difference", "there is none"),
            *("there is a difference", "a difference of either sign", "p, two-sided", ""),
            *(f"a difference of {margin:g} pp is found", f"one of {margin:g} pp would be found"),
            *("a difference of", "difference found"),
        )

    def goal(self, settings: Settings) -> Goal:
        return Goal("show a difference", "have shown a difference", None, None)

    def outcome_words(self, contrast: ClaimResult, settings: Settings) -> str:
        return own_seeds_words(contrast, settings, self.goal(settings))

    def reasons(self, contrast: ClaimResult, settings: Settings) -> list[str]:
        return ["It is as it is."]


BROKEN = re.compile(r"if \.|  | –[;,.]|would with|would \.|None|\bif$")


@pytest.mark.parametrize("name", [*KINDS, "differs"])
@pytest.mark.parametrize("seeds", [1, 2, 3, 8])
def test_no_sentence_of_any_kind_is_broken_whatever_the_seeds(
    name: str, seeds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(KINDS._entries, "differs", Differs())
    term = {"weight": 1, "teacher": "big", "student": "little", "method": "logit"}
    for shift in (-1.0, 0.0, 0.1, 1.0):
        values = [95 + 0.07 * (step % 3) for step in range(seeds)]
        claims = (claim("it", [term], says=name),)
        pair = pair_of(values, [v + shift for v in values], claims=claims)
        (contrast,) = analyse(pair).contrasts
        texts = [contrast.sentence, *reasons(contrast, SETTINGS, 0.5)]
        assert not [text for text in texts if BROKEN.search(text)]


def test_a_claim_beside_another_of_its_test_ends_as_it_does_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(KINDS._entries, "differs", Differs())
    term = {"weight": 1, "teacher": "big", "student": "little", "method": "logit"}
    values = [95 + step / 100 for step in range(8)]
    for order in (["differs"], ["differs", "above"], ["above", "differs"]):
        claims = tuple(claim(says, [term], says=says) for says in order)
        results = analyse(pair_of(values, values, claims=claims)).contrasts
        outcomes = {result.says: result.outcome for result in results}
        assert outcomes["differs"] == "contradicted"
        assert {result.claims_in_family for result in results} == {1}


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
