"""Numbers as people read them: one form each, for reports, tables, figures and the terminal.

The page of the explorer has the same in `explorer/static/words.js`; a test compares.
"""

DASH = "–"
"""What stands where there is no number."""


def decimals(value: float, digits: int = 2) -> str:
    """Return a number with so many decimals, half to even as `format` has it.

    What arithmetic left behind the twelfth significant digit is dropped first: a mean of shares and
    a mean of percents are one number, also where it lies half-way between two decimals.
    """
    return f"{float(f'{value:.12g}'):.{digits}f}"


def signed(value: float, digits: int = 2) -> str:
    """Return a number with its sign, a real minus, and no negative zero."""
    text = f"{float(decimals(value, digits)):+.{digits}f}"
    if float(text) == 0:
        text = f"{0:+.{digits}f}"
    return text.replace("-", "−")


def interval(pair: tuple[float, float] | None) -> str:
    """Return `[low, high]` with signs; a dash where there is none."""
    return DASH if not pair else f"[{signed(pair[0])}, {signed(pair[1])}]"


def p_value(p: float | None) -> str:
    """Return a p-value with two significant digits."""
    if p is None:
        return DASH
    return "< 0.0001" if p < 0.0001 else decimals(p, 3 if p >= 0.001 else 4)


def spread(mean: float | None, std: float | None) -> str:
    """Return `mean ± std`."""
    if mean is None:
        return DASH
    return decimals(mean) + ("" if std is None else f" ± {decimals(std)}")


def counted(count: int, what: str) -> str:
    """Return a count with its noun, such as `1 gain` or `8 gains`."""
    return f"{count} {what}{'' if count == 1 else 's'}"


MOST_SEEDS = 1_000
"""Seeds a side that anybody trains; above it a number is no advice."""


def seeds(count: int | None) -> str:
    """Return a number of seeds that would do: `33`, `over 1,000`, or `too many` for None."""
    if count is None:
        return "too many"
    return str(count) if count <= MOST_SEEDS else f"over {MOST_SEEDS:,}"


def level(confidence: float) -> str:
    """Return a confidence level such as `95 %`."""
    return f"{100 * confidence:g} %"


def percent(share: float | None) -> str | None:
    """Return a share of one as a percentage with two decimals."""
    return None if share is None else f"{decimals(share * 100)} %"


def points(difference: float | None) -> str | None:
    """Return a difference of shares in percentage points, with its sign."""
    return None if difference is None else f"{signed(difference * 100)} pp"


def fixed(value: float | None, digits: int = 4) -> str | None:
    """Return a number with a fixed number of decimals."""
    return None if value is None else decimals(value, digits)


def compact(count: float) -> str:
    """Return a count of three digits and a unit, such as `11.2 M` parameters or `1.30 G` FLOPs."""
    rounded = float(f"{count:.3g}")  # 999,600 is 1.00 M, not 1000 k
    for unit, scale in (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if rounded >= scale:
            return f"{_three(rounded / scale)} {unit}"
    return f"{count:g}"


def _three(value: float) -> str:
    """Return a number of 1 to under 1,000 with three digits, zeros included."""
    return f"{value:.{2 - (value >= 10) - (value >= 100)}f}"


def memory(count: float) -> str:
    """Return a number of bytes, such as `1.30 GB`."""
    return f"{compact(count)}B" if count >= 1e3 else f"{count:g} B"


def gib(count: float) -> str:
    """Return a number of bytes as memory and disks are sold and budgets are written: `1.5 GiB`."""
    value = count / 2**30
    return f"{value:.2g} GiB" if value < 9.95 else f"{value:,.0f} GiB"


def duration(seconds: float) -> str:
    """Return a time in human units: `4.2 s`, `3 min 20 s`, `2 h 05 min`, `3.5 days`."""
    if seconds < 59.95:  # what rounds to 60.0 s is a minute
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    return f"{minutes / (24 * 60):,.1f} days"
