"""How often our intervals cover and our tests err, by simulation with our own functions.

Design rule: coverage of at least the nominal level minus one point, errors of at most one point
above theirs. `pytest -m slow -s tests/stats/test_coverage.py` prints all figures, over-coverage
too. 20,000 runs a line: the standard error of a figure near 95 % is 0.15 points. A line that is
known to miss the rule is marked as such, with its true figure, and fails if it starts to hold.
"""

import math
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from scipy import stats

from kdgap.stats.components import over_teachers
from kdgap.stats.contrast import Estimate, paired, plus, welch
from kdgap.stats.multiple import bonferroni_confidence, holm
from kdgap.stats.permutation import sign_flip, two_sample
from kdgap.stats.proportion import mean_interval, wilson

pytestmark = pytest.mark.slow

RUNS = 20_000
SLACK = 0.01
GAIN = (1.0, -1.0)
INTERACTION = (1.0, -1.0, -1.0, 1.0)
Draw = list[list[list[float]]]  # [runs, arms, seeds]; arms may differ in length

table: list[str] = []


@pytest.fixture(scope="module", autouse=True)
def _print_table() -> Iterator[None]:
    yield
    print("\n\n" + "\n".join(table))


def misses(figure: str) -> pytest.MarkDecorator:
    return pytest.mark.xfail(raises=AssertionError, reason=f"misses the rule: {figure}")


def covers(name: str, share: float, nominal: float = 0.95) -> None:
    table.append(f"coverage  {name:<84} {share:7.2%}  {100 * (share - nominal):+5.2f}")
    assert share >= nominal - SLACK


def errs(name: str, share: float, level: float = 0.05) -> None:
    table.append(f"error     {name:<84} {share:7.2%}  {100 * (share - level):+5.2f}")
    assert share <= level + SLACK


def drawn(
    sizes: Sequence[int],
    variances: Sequence[float],
    means: Sequence[float] | None = None,
    shared: float = 0.0,
    runs: int = RUNS,
) -> Iterator[list[list[float]]]:
    """Normal arms of each run; `shared` is the standard deviation of what a seed adds to all."""
    draw = np.random.default_rng(20_260_101)
    for _ in range(runs // RUNS):
        seed = shared * draw.normal(0, 1, (RUNS, max(sizes)))
        arms = [
            (mean + seed[:, :n] + draw.normal(0, math.sqrt(variance), (RUNS, n))).tolist()
            for n, variance, mean in zip(sizes, variances, means or [0.0] * len(sizes), strict=True)
        ]
        yield from (list(run) for run in zip(*arms, strict=True))


def within(estimate: Estimate | None, truth: float, confidence: float = 0.95) -> bool:
    assert estimate is not None
    low, high = estimate.interval(confidence)
    return low <= truth <= high


def p_of(arms: Sequence[Sequence[float]], weights: Sequence[float]) -> float:
    estimate = welch(arms, weights)
    assert estimate is not None
    return estimate.p()


# Gains


@pytest.mark.parametrize(
    ("n", "m", "ratio", "runs"),
    [
        *[(5, 5, ratio, RUNS) for ratio in (1, 2, 4)],
        *[(3, 5, ratio, RUNS) for ratio in (0.25, 0.5, 1, 2)],
        # The arm of three varies most; 94 % is too near for 20,000 runs to tell.
        pytest.param(3, 5, 4, 20 * RUNS, marks=misses("93.8 %")),
        pytest.param(3, 5, 8, RUNS, marks=misses("93.4 %")),
        (4, 5, 4, RUNS),
        (3, 3, 1, RUNS),
        (3, 3, 4, RUNS),
        (5, 10, 4, RUNS),
    ],
)
def test_a_gain_by_welch(n: int, m: int, ratio: float, runs: int) -> None:
    arms = drawn((n, m), (ratio, 1), (0.3, 0.0), runs=runs)
    share = sum(within(welch(both, GAIN), 0.3) for both in arms) / runs
    covers(f"gain, Welch, n = {n} and {m}, variance ratio {ratio:g}", share)


@pytest.mark.parametrize(("n", "correlation"), [(3, 0.0), (5, 0.0), (5, 0.8)])
def test_a_gain_by_pairs(n: int, correlation: float) -> None:
    shared = math.sqrt(correlation / (1 - correlation))
    runs = drawn((n, n), (1, 4), (0.3, 0.0), shared)
    share = np.mean([within(paired(arms, GAIN), 0.3) for arms in runs])
    covers(f"gain, paired, n = {n}, variance ratio 4, correlation {correlation:g}", float(share))


# Contrasts


@pytest.mark.parametrize("variances", [(1, 1, 1, 1), (4, 1, 1, 1), (4, 1, 2, 1), (4, 4, 1, 1)])
@pytest.mark.parametrize("n", [3, 5])
def test_a_difference_of_gains(n: int, variances: tuple[float, ...]) -> None:
    runs = drawn((n,) * 4, variances, (0.4, 0.1, 0.2, 0.1))
    share = np.mean([within(welch(arms, INTERACTION), 0.2) for arms in runs])
    covers(f"difference of gains, Welch, n = {n}, variances {variances}", float(share))


SHARED = "over one baseline of"


@pytest.mark.parametrize(
    ("name", "weights", "sizes", "variance"),
    [
        (f"mean of two gains {SHARED} 5", (0.5, 0.5, -1.0), (5, 5, 5), 1),
        (f"mean of two gains {SHARED} 5", (0.5, 0.5, -1.0), (5, 5, 5), 4),
        # At equal variances the true figure is 93.9 %, too near to the rule to be marked.
        pytest.param(
            *(f"mean of two gains {SHARED} 3", (0.5, 0.5, -1.0), (5, 5, 3), 4),
            marks=misses("93.0 %"),
        ),
        pytest.param(
            *(f"mean of four gains {SHARED} 3", (0.25, 0.25, 0.25, 0.25, -1.0), (5, 5, 5, 5, 3), 1),
            marks=misses("92.8 %"),
        ),
        (f"difference of two gains {SHARED} 5", (1.0, -1.0, 0.0), (5, 5, 5), 4),
        (f"trend over three teachers {SHARED} 5", (-1.0, -0.5, 2.0, -0.5), (5, 5, 5, 5), 1),
        (f"trend over three teachers {SHARED} 5", (-1.0, -0.5, 2.0, -0.5), (5, 5, 5, 5), 4),
    ],
)
def test_a_contrast_that_shares_an_arm(
    name: str, weights: tuple[float, ...], sizes: tuple[int, ...], variance: float
) -> None:
    variances = [*([1.0] * (len(sizes) - 1)), variance]
    means = [0.1 * i for i in range(len(sizes))]
    truth = sum(w * mean for w, mean in zip(weights, means, strict=True))
    runs = drawn(sizes, variances, means)
    share = np.mean([within(welch(arms, weights), truth) for arms in runs])
    covers(f"{name}, baseline's variance {variance}", float(share))


@pytest.mark.parametrize("variances", [(1, 1, 1, 1), (4, 1, 2, 1)])
def test_a_paired_difference_of_gains(variances: tuple[float, ...]) -> None:
    runs = drawn((5,) * 4, variances, (0.4, 0.1, 0.2, 0.1), shared=2)
    share = np.mean([within(paired(arms, INTERACTION), 0.2) for arms in runs])
    covers(f"difference of gains, paired, n = 5, variances {variances}", float(share))


# Families: eight gains, four over each of two baselines

BASELINES = (0, 0, 0, 0, 1, 1, 1, 1)


def family(real: int, spread: float) -> list[list[Estimate]]:
    """The eight gains of every run; the first `real` are 3 standard deviations, the others none."""
    means = [0.0, 0.0, *([3.0] * real), *([0.0] * (8 - real))]
    families = []
    for first, second, *methods in drawn((5,) * 10, (spread, 1, *([1.0] * 8)), means):
        baselines = (first, second)
        gains = [
            welch([arm, baselines[which]], GAIN)
            for arm, which in zip(methods, BASELINES, strict=True)
        ]
        families.append([gain for gain in gains if gain is not None])
    return families


@pytest.mark.parametrize(("real", "spread"), [(0, 1), (0, 4), (2, 1), (4, 1), (7, 1)])
def test_a_family_of_gains(real: int, spread: float) -> None:
    false_alarms = joint = 0
    level = bonferroni_confidence(0.95, 8)
    for gains in family(real, spread):
        adjusted = holm([gain.p() for gain in gains])
        false_alarms += any(p is not None and p <= 0.05 for p in adjusted[real:])
        truths = [3.0] * real + [0.0] * (8 - real)
        joint += all(within(g, truth, level) for g, truth in zip(gains, truths, strict=True))
    name = f"8 gains on 2 baselines, {real} real, first baseline's variance {spread}"
    errs(f"Holm, family-wise: {name}", false_alarms / RUNS)
    covers(f"joint intervals: {name}", joint / RUNS)


# Equivalence: the true gain lies on the margin


@pytest.mark.parametrize(
    ("n", "m", "ratio", "margin"),
    [
        (5, 5, 1, 2.0),
        (5, 5, 1, 5.0),
        (5, 5, 4, 5.0),
        (3, 5, 0.25, 5.0),
        (3, 5, 1, 5.0),
        (3, 5, 4, 10.0),
        (20, 20, 1, 1.0),
    ],
)
def test_equivalence_on_the_margin(n: int, m: int, ratio: float, margin: float) -> None:
    errors = 0
    for arms in drawn((n, m), (ratio, 1), (margin, 0.0)):
        estimate = welch(arms, GAIN)
        assert estimate is not None
        errors += estimate.p_equivalent(margin) <= 0.05
    name = f"n = {n} and {m}, variance ratio {ratio:g}, margin {margin:g} std"
    errs(f"equivalence, Welch, {name}", errors / RUNS)


@pytest.mark.parametrize("n", [3, 5])
def test_paired_equivalence_on_the_margin(n: int) -> None:
    errors = 0
    for arms in drawn((n, n), (1, 4), (6.0, 0.0), shared=2):
        estimate = paired(arms, GAIN)
        assert estimate is not None
        errors += estimate.p_equivalent(6.0) <= 0.05
    errs(f"equivalence, paired, n = {n}, margin 6 std", errors / RUNS)


@pytest.mark.parametrize(
    ("n", "m", "ratio"),
    [
        (5, 5, 1),
        (5, 5, 4),
        (3, 5, 1),
        (3, 5, 0.25),
        pytest.param(3, 5, 4, marks=misses("8.5 % errors")),
    ],
)
def test_a_permutation_of_two_arms(n: int, m: int, ratio: float) -> None:
    ps = [two_sample(*arms) for arms in drawn((n, m), (ratio, 1))]
    share = np.mean([p is not None and p.p <= 0.05 for p in ps])
    errs(f"permutation, n = {n} and {m}, variance ratio {ratio:g}", float(share))


@pytest.mark.parametrize("n", [6, 8])
def test_a_flip_of_signs(n: int) -> None:
    runs = drawn((n, n), (1, 4), shared=2)
    ps = [sign_flip([a - b for a, b in zip(*arms, strict=True)]) for arms in runs]
    share = np.mean([p is not None and p.p <= 0.05 for p in ps])
    errs(f"sign flips, n = {n}, variance ratio 4", float(share))


# Teachers as a sample: variances of teachers, seeds and residual


def tables(teachers: int, seeds: int, variances: tuple[float, float, float]) -> Draw:
    draw = np.random.default_rng(20_260_102)
    of_teacher, of_seed, rest = (math.sqrt(v) for v in variances)
    rows = draw.normal(0, of_teacher, (RUNS, teachers, 1))
    columns = draw.normal(0, of_seed, (RUNS, 1, seeds))
    values: Draw = (rows + columns + draw.normal(0, rest, (RUNS, teachers, seeds))).tolist()
    return values


COMPONENTS = [(0, 0, 1), (1, 0, 0.01), (0, 1, 0.01), (1, 1, 1), (1, 0.2, 0.2), (0.2, 0.1, 1)]


@pytest.mark.parametrize(
    ("teachers", "seeds", "variances"),
    [
        *[(t, 5, c) for t in (3, 4, 5) for c in COMPONENTS],
        (3, 3, (1, 1, 1)),
        (3, 10, (0, 0, 1)),
        (3, 10, (1, 1, 1)),
        pytest.param(3, 10, (1, 0.2, 0.2), marks=misses("93.4 %")),
        (4, 10, (1, 0.2, 0.2)),
        (5, 10, (1, 0.2, 0.2)),
    ],
)
def test_a_mean_over_teachers(
    teachers: int, seeds: int, variances: tuple[float, float, float]
) -> None:
    runs = tables(teachers, seeds, variances)
    share = np.mean([within(over_teachers(run), 0) for run in runs])
    covers(f"{teachers} teachers x {seeds} seeds, variances {variances}", float(share))


@pytest.mark.parametrize("teachers", [3, 5])
@pytest.mark.parametrize("variances", COMPONENTS)
def test_a_gain_over_teachers(teachers: int, variances: tuple[float, float, float]) -> None:
    """The baseline has no teacher: five seeds of its own."""
    baselines = drawn((5,), (variances[1] + variances[2],))
    hits = 0
    for run, (baseline,) in zip(tables(teachers, 5, variances), baselines, strict=True):
        mean, control = over_teachers(run), welch([baseline], [1.0])
        assert mean is not None
        assert control is not None
        hits += within(plus(mean, control, -1), 0)
    covers(f"gain over {teachers} teachers x 5 seeds, variances {variances}", hits / RUNS)


# Shares and means


@pytest.mark.parametrize("n", [3, 5])
def test_a_mean_over_seeds(n: int) -> None:
    intervals = [mean_interval(arms[0], 0.95) for arms in drawn((n,), (1,), (0.5,))]
    share = np.mean([i is not None and i[0] <= 0.5 <= i[1] for i in intervals])
    covers(f"mean over {n} seeds", float(share))


def wilson_coverage(n: int, truth: float) -> float:
    """Exactly: the probability of all counts whose interval holds the true share."""
    counts = np.arange(n + 1)
    likely = stats.binom.pmf(counts, n, truth)
    inside = [
        bool(p > 1e-12) and low <= truth <= high
        for p, (low, high) in ((p, wilson(k / n, n, 0.95)) for k, p in enumerate(likely))
    ]
    return float(likely[np.array(inside)].sum())


@pytest.mark.parametrize(
    ("n", "truth"),
    [
        *[(10_000, truth) for truth in (0.5, 0.9, 0.95, 0.99)],
        *[(1_000, truth) for truth in (0.5, 0.9, 0.95, 0.99)],
        (100, 0.5),
        pytest.param(100, 0.7, marks=misses("93.7 %")),
        pytest.param(100, 0.9, marks=misses("93.6 %")),
        pytest.param(100, 0.99, marks=misses("92.1 %")),
    ],
)
def test_a_share_of_images(n: int, truth: float) -> None:
    covers(f"Wilson (exact), {n} images, true share {truth:g}", wilson_coverage(n, truth))


@pytest.mark.parametrize("n", [100, 1_000, 10_000])
def test_a_share_of_images_on_average_over_true_shares(n: int) -> None:
    truths = np.linspace(0.5, 0.999, 200 if n < 10_000 else 25)
    coverages = [wilson_coverage(n, float(truth)) for truth in truths]
    worst = int(np.argmin(coverages))
    name = f"worst {coverages[worst]:.1%} at {truths[worst]:.3f}"
    covers(f"Wilson (exact), {n} images, mean over 0.5 to 0.999; {name}", float(np.mean(coverages)))


@pytest.mark.parametrize(
    ("small", "comparisons"),
    [
        (4, 8),
        pytest.param(3, 1, marks=misses("7.3 % at 5 %")),
        pytest.param(3, 8, marks=misses("2.3 % at 0.6 %")),
        pytest.param(2, 1, marks=misses("12.0 % at 5 %")),
        pytest.param(2, 8, marks=misses("6.2 % at 0.6 %")),
    ],
)
def test_a_small_arm_at_corrected_levels(small: int, comparisons: int) -> None:
    level = 0.05 / comparisons
    estimates = [welch(arms, GAIN) for arms in drawn((small, 10), (4.0, 1.0))]
    share = sum(estimate is not None and estimate.p() <= level for estimate in estimates) / len(
        estimates
    )
    errs(f"Welch, {small} and 10 seeds, variance ratio 4, at 0.05/{comparisons}", share, level)
