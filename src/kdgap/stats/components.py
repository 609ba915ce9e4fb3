"""Several teachers: how much of the variance is theirs, and a mean that counts them as a sample."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from kdgap.stats.contrast import Estimate


@dataclass(frozen=True)
class Components:
    """Variance components of students of every seed, crossed with every teacher.

    Attributes:
        teachers, seeds: rows and columns of the table.
        teacher: variance between teachers, in the squared unit of the table, at least 0.
        seed: variance between student seeds, at least 0.
        residual: what neither explains, their interaction included, at least 0.
    """

    teachers: int
    seeds: int
    teacher: float
    seed: float
    residual: float

    @property
    def teacher_share(self) -> float:
        """The teachers' share of the variance of one run, in [0, 1]; 0 where nothing varies."""
        total = self.teacher + self.seed + self.residual
        return self.teacher / total if total else 0.0


def crossed(table: Sequence[Sequence[float]]) -> Components | None:
    """Estimate variance components by the method of moments of the two-way analysis of variance.

    Of `y_ij = mu + t_i + s_j + e_ij` with independent random effects, the mean squares of T
    teachers and S seeds have the expectations `E MS_T = var_e + S var_t`,
    `E MS_S = var_e + T var_s` and `E MS_E = var_e`; the components solve these equations (Searle,
    Casella & McCulloch 1992, chapter 4), and negative ones are set to 0.

    Args:
        table: [teachers, seeds], one run an entry, complete.

    Returns:
        None for fewer than two teachers or two seeds.

    Raises:
        ValueError: rows differ in length, or a value is not finite.
    """
    mean_squares = _mean_squares(table)
    if mean_squares is None:
        return None
    _, by_teacher, by_seed, error = mean_squares
    teachers, seeds = len(table), len(table[0])
    return Components(
        teachers,
        seeds,
        teacher=max(0.0, (by_teacher - error) / seeds),
        seed=max(0.0, (by_seed - error) / teachers),
        residual=error,
    )


def over_teachers(table: Sequence[Sequence[float]]) -> Estimate | None:
    """Estimate the mean over all teachers and seeds there could be, not only over these.

    The grand mean of T teachers and S seeds has the variance
    `var_t / T + var_s / S + var_e / (T S)`, which `(MS_T + MS_S - MS_E) / (T S)` estimates without
    bias: put in the expectations that `crossed` gives. As a sum of mean squares with coefficients
    a_k = 1, 1, -1, it has about `(sum a_k MS_k)^2 / sum (a_k MS_k)^2 / df_k` degrees of freedom
    (Satterthwaite 1946). Neither mean
    square alone is above the variance in expectation, so the estimate is kept from falling below
    the larger one; where it would, that one's degrees of freedom, T - 1 or S - 1, are used. The
    subtraction cannot cost more than that: degrees of freedom are never below the smaller of both.

    By simulation, a 95 % interval of 3 to 5 teachers and 5 seeds covers 94.8 to 98.9 %, the most
    where only the residual varies; of 3 teachers and 10 seeds, 93 to 98 %.

    Args:
        table: [teachers, seeds], one run an entry, complete.

    Returns:
        None for fewer than two teachers or two seeds, or where neither the means of teachers nor
        those of seeds vary beyond rounding.

    Raises:
        ValueError: rows differ in length, or a value is not finite.
    """
    mean_squares = _mean_squares(table)
    if mean_squares is None:
        return None
    mean, by_teacher, by_seed, error = mean_squares
    teachers, seeds = len(table), len(table[0])
    square = by_teacher + by_seed - error
    largest, df = max((by_teacher, teachers - 1.0), (by_seed, seeds - 1.0))
    if largest == 0:
        return None
    if square > largest:
        uncertainty = (
            by_teacher**2 / (teachers - 1)
            + by_seed**2 / (seeds - 1)
            + error**2 / ((teachers - 1) * (seeds - 1))
        )
        df = max(square**2 / uncertainty, min(teachers, seeds) - 1.0)
    return Estimate(mean, math.sqrt(max(square, largest) / (teachers * seeds)), df)


def _mean_squares(
    table: Sequence[Sequence[float]],
) -> tuple[float, float, float, float] | None:
    """Return grand mean, and mean squares of teachers, seeds and error; None under 2 by 2."""
    if len({len(row) for row in table}) > 1:
        raise ValueError("every teacher needs the same seeds: rows differ in length")
    if not all(math.isfinite(value) for row in table for value in row):
        raise ValueError("a value is not finite")
    rows, columns = len(table), len(table[0]) if table else 0
    if rows < 2 or columns < 2:
        return None
    mean = math.fsum(value for row in table for value in row) / (rows * columns)
    by_row = [math.fsum(row) / columns - mean for row in table]
    by_column = [math.fsum(column) / rows - mean for column in zip(*table, strict=True)]
    rest = [
        value - mean - a - b
        for row, a in zip(table, by_row, strict=True)
        for value, b in zip(row, by_column, strict=True)
    ]
    rounding = (1e-12 * max(abs(value) for row in table for value in row)) ** 2

    def mean_square(effects: Sequence[float], repeats: int, df: int) -> float:
        square = repeats * math.fsum(effect**2 for effect in effects) / df
        return square if square > rounding else 0.0

    return (
        mean,
        mean_square(by_row, columns, rows - 1),
        mean_square(by_column, rows, columns - 1),
        mean_square(rest, 1, (rows - 1) * (columns - 1)),
    )
