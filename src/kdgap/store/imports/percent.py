"""Result files of others whose accuracies are in percent."""

from collections.abc import Mapping
from typing import Any

from kdgap.errors import one_line
from kdgap.store.imports.gate import SHARES, OddFileError, is_number


def from_percent(results: Mapping[str, Any]) -> None:
    """Make shares of one of a file's accuracies in percent, in place.

    These are the accuracies of a run and of its epochs; of fidelity, agreement as well.

    Raises:
        OddFileError: an accuracy of the whole run is a share of one already.
    """
    for key in ("top1_agreement", *SHARES):
        if is_number(results.get(key)) and 0 < results[key] <= 1:
            raise OddFileError(f"{key} is {one_line(results[key], 40)}, which is no percentage")
    history, classes = results.get("history"), results.get("per_class_acc")
    for entry in history if isinstance(history, list) else []:
        _divide(entry)
    _divide(results)
    if isinstance(classes, dict):
        for name, value in classes.items():
            classes[name] = value / 100 if is_number(value) else value


def _divide(entry: object) -> None:
    if isinstance(entry, dict):
        for key, value in entry.items():
            share = key in SHARES or key.endswith("_acc") or key == "top1_agreement"
            if share and is_number(value):
                entry[key] = value / 100
