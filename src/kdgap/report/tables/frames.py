"""An analysis as pandas frames, for notebooks; pandas is an extra and is imported when needed."""

from typing import TYPE_CHECKING, Any

from kdgap.errors import BadInputError
from kdgap.judge.analysis import Analysis
from kdgap.judge.evidence import Evidence
from kdgap.report.tables.forms import Table
from kdgap.report.tables.judged import gains
from kdgap.report.tables.measured import runs

if TYPE_CHECKING:
    from pandas import DataFrame  # type: ignore[import-untyped]


def frame_of(table: Table) -> "DataFrame":
    """Return a table's values, not what is shown of them; one row a line.

    Raises:
        BadInputError: pandas is not installed.
    """
    return _pandas().DataFrame(table.values, columns=list(table.fields))


def runs_frame(evidence: Evidence) -> "DataFrame":
    """Return one row a run, with everything that is known of it; accuracies are shares of one.

    Raises:
        BadInputError: pandas is not installed.
    """
    return frame_of(runs(evidence))


def gains_frame(analysis: Analysis) -> "DataFrame":
    """Return one row a gain, with its interval, p-values and verdict; `_pp` is percentage points.

    Raises:
        BadInputError: pandas is not installed.
    """
    return frame_of(gains(analysis))


def _pandas() -> Any:
    try:
        import pandas as pd
    except ImportError:
        raise BadInputError(
            "pandas is not installed; frames need the extra: pip install 'kdgap[notebook]'"
        ) from None
    return pd
