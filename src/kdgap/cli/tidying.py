"""Tidying, as `run` and `clean` do it: what nobody owns goes, and is counted in one line."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kdgap.store.study import StudyDirectory


def tidy(directory: "StudyDirectory") -> int:
    """Remove what ended processes left in a study, the cache and among temporary files; say so."""
    from kdgap.cli.printing import say
    from kdgap.store.leftovers import tidy_study

    tidied = tidy_study(directory) + tidy_places()
    if tidied:
        say(f"tidied: {tidied} left-over file{'s' * (tidied > 1)} of ended processes")
    return tidied


def tidy_places() -> int:
    """Remove what ended processes left outside any study; return how many files that were."""
    from kdgap.leftovers import remove_scratch, remove_temporaries
    from kdgap.paths import cache_folder

    cached = [cache_folder() / name for name in ("images", "measured")]
    return remove_scratch() + sum(map(remove_temporaries, cached))
