"""Power is that of the test which is made: its level, its side, its pairing, its spread."""

from pathlib import Path

import pytest
from scipy import stats

from kdgap.explorer.power import SEEDS, Question, claim_questions, power_document
from kdgap.explorer.snapshot import Snapshot, take
from kdgap.judge.evidence import Evidence
from kdgap.spec.claims import Statistics
from tests.judge.builders import analyse, claim, evidence, final, plain, runs_of
from tests.judge.test_study_evidence import BASELINE, METHOD, study

TWO = ((1.0, -1.0), (0.2, 0.1))


def t_power(effect: float, noise: float, df: float, level: float) -> float:
    """Return how often |t| is beyond its critical value, by scipy's own distribution."""
    critical, shift = stats.t.ppf(1 - level / 2, df), effect / noise
    return float(stats.nct.sf(critical, df, shift) + stats.nct.cdf(-critical, df, shift))


@pytest.mark.parametrize("n", [3, 8, 30])
@pytest.mark.parametrize("level", [0.05, 0.05 / 15])
def test_a_difference_is_found_as_often_as_its_test_says(n: int, level: float) -> None:
    errors = [0.2**2 / n, 0.1**2 / n]
    noise, df = sum(errors) ** 0.5, (n - 1) * sum(errors) ** 2 / sum(e**2 for e in errors)
    expected = t_power(0.2, noise, df, level)
    assert Question("above", TWO, level).power(0.2, n) == pytest.approx(expected, abs=1e-9)
    # No worse by a margin is one-sided, where the truth is no difference; the other side of a
    # two-sided test at twice the level is as good as never found.
    power = Question("not_below", TWO, level).power(0.2, n)
    assert power == pytest.approx(t_power(0.2, noise, df, 2 * level), abs=1e-9)
    assert power == pytest.approx(
        stats.nct.sf(stats.t.ppf(1 - level, df), df, 0.2 / noise), abs=2e-3
    )


@pytest.mark.parametrize("says", ["above", "not_below", "nothing"])
@pytest.mark.parametrize("weights", [TWO, ((1.0,), (0.3,)), ((1.0, -1.0, -1.0, 1.0), (0.1,) * 4)])
@pytest.mark.parametrize("n", [2, 5, 20])
def test_the_smallest_effect_is_the_one_that_has_the_power(
    says: str, weights: tuple[tuple[float, ...], tuple[float, ...]], n: int
) -> None:
    question = Question(says, weights, 0.01)
    assert question.power(question.smallest(n, 0.8), n) == pytest.approx(0.8, abs=1e-6)


def test_what_was_seen_and_what_is_needed_agree(tmp_path: Path) -> None:
    snapshot = take(study(tmp_path / "study", BASELINE, METHOD).path)
    assert snapshot.analysis is not None
    document = power_document(snapshot)
    settings = snapshot.analysis.settings
    kinds = [entry["kind"] for entry in document["entries"]]
    assert set(kinds) == {"claim", "gain"}
    for entry in document["entries"]:
        if entry["kind"] == "gain":
            assert entry["needed"] == snapshot.analysis.gains[entry["index"]].seeds_needed
        else:
            claimed = snapshot.analysis.contrasts[entry["index"]]
            assert entry["needed"] == claimed.seeds_needed_claim
        for n, power, smallest in zip(
            document["seeds"], entry["power"], entry["smallest"], strict=True
        ):
            assert (power >= settings.power) == (n >= entry["needed"])
            assert (smallest <= settings.smallest_effect_pp) == (n >= entry["needed"])


def two_methods(margin: float = 1) -> Evidence:
    """A small difference that its own test just finds, and one that is plainly none."""
    runs = runs_of(plain("little"), [90.0, 90.4, 90.1, 90.3, 90.2])
    runs += runs_of(final("big", "little", "logit"), [90.3, 90.7, 90.3, 90.6, 90.4])
    runs += runs_of(final("big", "little", "feature"), [90.1, 90.4, 90.0, 90.3, 90.2])
    term = {"weight": 1, "teacher": "big", "student": "little"}
    claims = (
        claim("more", [{**term, "method": "logit"}]),
        claim("none", [{**term, "method": "feature"}], says="nothing"),
        claim("no-loss", [{**term, "method": "feature"}], says="not_below"),
    )
    return evidence(runs, claims=claims, statistics=Statistics(smallest_effect_pp=margin))


def test_the_seeds_that_are_promised_can_be_looked_at() -> None:
    judged = two_methods(margin=0.2)
    document = power_document(Snapshot(Path("made"), judged, analyse(judged)))
    seeds = document["seeds"]
    assert seeds == sorted(set(seeds))
    promised = {entry[key] for entry in document["entries"] for key in ("now", "needed")}
    assert promised - set(SEEDS)
    assert set(seeds) == {*SEEDS, *(n for n in promised if n <= 200)}


def test_a_claim_needs_the_seeds_that_its_own_test_needs() -> None:
    judged = two_methods()
    snapshot = Snapshot(Path("made"), judged, analyse(judged))
    assert snapshot.analysis is not None
    contrasts = snapshot.analysis.contrasts
    for contrast, question in zip(contrasts, claim_questions(snapshot.context), strict=True):
        assert question is not None
        needed, target = contrast.seeds_needed_claim, judged.statistics.power
        assert needed is not None
        assert question.power(1, needed) >= target
        assert needed == 2 or question.power(1, needed - 1) < target


def test_a_claim_is_established_by_the_p_that_is_shown() -> None:
    contrasts = analyse(two_methods()).contrasts
    more = contrasts[0]
    # Its difference is found alone, and not in the family of differences; among the claims it is.
    assert more.p_holm > 0.05 > more.p_claim_holm
    assert (more.verdict, more.outcome) == ("equivalent", "established")
    assert f"Holm p = {more.p_claim_holm:.3f}; real, but smaller than 1 pp" in more.sentence
    for contrast in contrasts:
        assert (contrast.outcome == "established") == (contrast.p_claim_holm <= 0.05)
