"""Notices are told in the order of their weight; their own order holds among equals."""

from kdgap.notice import SEVERITIES, Notice, by_severity


def test_what_weighs_most_is_told_first() -> None:
    given = [Notice(f"{s}-{n}", "text", severity=s) for n in range(2) for s in SEVERITIES]
    codes = [notice.code for notice in by_severity(given)]
    order = ("serious", "warning", "info")
    assert codes == [f"{severity}-{n}" for severity in order for n in range(2)]
