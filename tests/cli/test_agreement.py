"""One number, one place: the same quantity by every route that shows it, and what it is called."""

import csv
import json
import re
from collections import Counter
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from kdgap.cli import printing
from kdgap.explorer.documents import arm_document, rank_document, study_document
from kdgap.explorer.judged import compare_document
from kdgap.explorer.snapshot import Snapshot, take
from kdgap.judge.analysis import ClaimResult
from kdgap.judge.entries import Gain
from kdgap.judge.headline import headline
from kdgap.judge.load import load_claims
from kdgap.numbers import interval, p_value, signed, spread
from tests.cli.test_judging import Command
from tests.report.test_html import Page
from tests.store.foreign_files import FIDELITY, PLAIN, history, write

ACCURACIES = {
    # A harm, a gain, an equivalence that is not one when corrected, and nothing decided.
    "none": [0.9000, 0.9020, 0.8980, 0.9010, 0.8990],
    "logit": [0.9300, 0.9320, 0.9285, 0.9310, 0.9290],
    "feature": [0.9003, 0.9016, 0.8990, 0.9012, 0.8985],
    "dkd": [0.8700, 0.8722, 0.8680, 0.8710, 0.8689],
    "crd": [0.9400, 0.8600, 0.9100, 0.8800, 0.9200],
}
CLAIMS = """title: Whose numbers agree
paper: A. Nobody 2026
main_claim: equal
statistics: {smallest_effect_pp: 0.25}
claims:
  - {name: helps, text: Logit-KD helps, terms: [
      {weight: 1, teacher: resnet50, student: resnet18, method: logit}]}
  - {name: harms, text: DKD harms, says: below, terms: [
      {weight: 1, teacher: resnet50, student: resnet18, method: dkd}]}
  - {name: equal, text: Feature-KD changes nothing, says: nothing, terms: [
      {weight: 1, teacher: resnet50, student: resnet18, method: feature}]}
  - {name: no-worse, text: CRD is no worse, says: not_below, terms: [
      {weight: 1, teacher: resnet50, student: resnet18, method: crd}]}
"""


@pytest.fixture
def study(kdgap: Command, tmp_path: Path) -> Path:
    for method, values in ACCURACIES.items():
        for seed, value in enumerate(values):
            known: dict[str, Any] = PLAIN if method == "none" else {"kd_type": method}
            fidelity = None if method == "none" else {**FIDELITY, "student_test_acc": value}
            write(
                tmp_path / "theirs", f"runs/final/{method}/seed{seed}", fidelity=fidelity,
                seed=seed, test_acc_best=value, test_acc_final=value,
                history=history(value * value - seed / 50),
                **known,
            )  # fmt: skip
    assert kdgap("import", tmp_path / "theirs", "--out", "theirs").returncode == 0
    Path("claims.yaml").write_text(CLAIMS)
    return Path("theirs")


def words(text: object) -> str:
    """Text without markup, and without what lines and cells begin and end with."""
    plain = re.sub(r"[│┃|†*\\]|<br>", " ", unescape(str(text)))
    return " ".join(plain.replace("\u00a0", " ").split())


class Routes:
    """Every way to the numbers of one study, each as the text or the document that it shows."""

    def __init__(self, kdgap: Command, study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(printing.out, "width", 220)
        given = ("--claims", "claims.yaml")
        done = kdgap("analyze", study, *given)
        assert done.returncode == 0, done.stderr
        self.terminal = done.stdout
        self.tables = (study / "analysis" / "tables.md").read_text()
        with (study / "analysis" / "gains.csv").open() as stream:
            self.csv = {row["method"]: row for row in csv.DictReader(stream)}
        assert kdgap("report", study, *given).returncode == 0
        self.page = Page((study / "report.html").read_text())
        self.rank = kdgap("rank", study, *given, "--pairs").stdout
        self.ranked = json.loads(kdgap("rank", study, *given, "--json").stdout)
        self.snapshot: Snapshot = take(study, load_claims(Path("claims.yaml")))
        assert self.snapshot.analysis is not None
        self.analysis = self.snapshot.analysis

    def of_gain(self, gain: Gain) -> Iterator[tuple[str, str]]:
        """Yield (route, what it shows) of a gain with its interval."""
        row = self.csv[gain.method]
        low, high = float(row["ci95_low_pp"]), float(row["ci95_high_pp"])
        yield "gains.csv", f"{signed(float(row['gain_pp']))} {interval((low, high))}"
        yield "terminal", line(self.terminal, gain.label)
        yield "tables.md", line(self.tables, gain.label)
        yield "report, table", " ".join(self._row("gain-table", gain.label))
        yield "report, which", " ".join(self._row("which-table", gain.label))
        yield (
            "report, figure",
            next(
                words(attrs.get("aria-label", "")) + words(self.page.text(n))
                for n, attrs in self.page.all("svg")
                if f"{gain.method} resnet50 → resnet18" in str(attrs) + self.page.text(n)
            ),
        )
        yield "rank", line(self.rank, gain.label)
        place = self._place(self.ranked[0]["places"], gain.label)
        yield "rank --json", difference(place["over_plain_pp"], place["over_plain_ci95_pp"])
        (ranked,) = rank_document(self.snapshot)["students"]
        place = self._place(ranked["places"], gain.label)
        yield "page, which", difference(place["over_plain_pp"], place["over_plain_ci95_pp"])
        study = study_document(self.snapshot)
        number = [entry["method"] for entry in study["analysis"]["gains"]].index(gain.method)
        yield "page, sentence", study["gains"][number]["sentence"]
        arm = next(arm for arm in study["arms"] if arm["gain"] == number)
        others = compare_document(self.snapshot, arm["number"])["others"]
        other = next(entry for entry in others if entry["arm"] == arm["baseline"])
        yield "page, compare", difference(other["value"], other["ci95"])

    def accuracies(self, gain: Gain) -> Iterator[tuple[str, str]]:
        """Yield (route, what it shows) of a method's accuracy."""
        row = self.csv[gain.method]
        yield "gains.csv", spread(float(row["mean_pp"]), float(row["std_pp"]))
        yield "terminal", line(self.terminal, gain.label)
        yield "tables.md", line(self.tables, gain.label)
        yield "report, table", " ".join(self._row("gain-table", gain.label))
        yield "report, which", " ".join(self._row("which-table", gain.label))
        yield "rank", line(self.rank, gain.label)
        study = study_document(self.snapshot)
        arm = next(a for a in study["arms"] if a["method"] == gain.method)
        document = arm_document(self.snapshot, arm["number"])
        yield "page, configuration", spread(document["mean"], document["std"])

    def verdicts(self, gain: Gain) -> Iterator[tuple[str, str]]:
        """Yield (route, what it shows) of a gain's verdict, as it is called."""
        yield "terminal", line(self.terminal, gain.label).replace(", ", ",")
        yield "tables.md", line(self.tables, gain.label).replace(", ", ",")

    def claims(self, claim: ClaimResult) -> Iterator[tuple[str, str]]:
        """Yield (route, what it shows) of a claim with its number and outcome."""
        claimed = re.escape(claim.text)
        yield (
            "terminal",
            next(x for x in self.terminal.splitlines() if re.search(f"“{claimed}”", x)),
        )
        yield (
            "tables.md",
            line(self.tables, claim.text) + claim.outcome * (claim.outcome in self.tables),
        )
        place = self.page.by_id("answer")
        texts = [self.page.text(n) for n in self.page.inside(place)]
        yield "report", next(x for x in texts if f"“{claim.text}”" in x and claim.outcome in x)
        study = study_document(self.snapshot)
        number = [entry["name"] for entry in study["analysis"]["contrasts"]].index(claim.name)
        entry = study["analysis"]["contrasts"][number]
        yield "page", f"{study['claims'][number]['summary']} {entry['outcome']}"

    def _row(self, table: str, label: str) -> list[str]:
        return next(row for row in self.page.rows(table) if row and row[0].startswith(label))

    @staticmethod
    def _place(places: list[dict[str, Any]], name: str) -> dict[str, Any]:
        return next(place for place in places if place["name"] == name)


def line(text: str, label: str) -> str:
    """The first line of a table that is of a method or a claim, with what stands below it."""
    lines = text.splitlines()
    at = next(
        n for n, row in enumerate(lines) if row[:1] in "│|" and label in words(row).split(" +")[0]
    )
    below = lines[at + 1] if lines[at][:1] == "│" and at + 1 < len(lines) else ""
    rest = below if words(below) and not words(below)[:1].isupper() else ""
    return words(f"{lines[at]} {rest}")


def difference(value: float | None, ends: Any) -> str:
    assert value is not None
    return f"{signed(value)} pp {interval(tuple(ends))}"


def test_every_route_shows_the_same(
    kdgap: Command, study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    routes, compared = Routes(kdgap, study, monkeypatch), Counter[str]()
    assert {gain.verdict_text for gain in routes.analysis.gains} == {
        "gain", "harm", "inconclusive", "equivalent, uncorrected",
    }  # fmt: skip
    wrong = []

    def check(what: str, route: str, shown: str, *parts: str) -> None:
        compared[route] += 1
        missing = [part for part in parts if part not in words(shown)]
        if missing:
            wrong.append((what, route, missing, words(shown)[:300]))

    for gain in routes.analysis.gains:
        numbers = signed(gain.gain_pp or 0.0), interval(gain.ci95_pp)
        for route, shown in routes.of_gain(gain):
            check(f"gain of {gain.label}", route, shown, *numbers)
        for route, shown in routes.accuracies(gain):
            check(f"accuracy of {gain.label}", route, shown, spread(gain.mean_pp, gain.std_pp))
        for route, shown in routes.verdicts(gain):
            check(f"verdict of {gain.label}", route, shown, gain.verdict_text.replace(", ", ","))
        for text in (line(routes.terminal, gain.label), line(routes.tables, gain.label)):
            check(f"p of {gain.label}", "terminal and tables", text, p_value(gain.p_holm))
    for claim in routes.analysis.contrasts:
        ends = signed(claim.estimate_pp or 0.0), interval(claim.ci95_pp)
        for route, shown in routes.claims(claim):
            check(f"claim {claim.name}", route, shown, *ends, claim.outcome)
    first = headline(routes.analysis)
    assert first.claim == "equal"
    shown = routes.page.text(routes.page.all("header")[0][0])
    for route, text in (
        ("terminal", routes.terminal.splitlines()[0]),
        ("report", shown),
        ("page", study_document(routes.snapshot)["headline"]["text"]),
    ):
        check("headline", route, text, words(first.text))
    assert not wrong, wrong
    assert sum(compared.values()) > 90, compared


def test_what_is_said_once_is_not_said_of_every_row(
    kdgap: Command, study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    routes = Routes(kdgap, study, monkeypatch)
    assert all(claim.post_hoc for claim in routes.analysis.contrasts)
    assert routes.terminal.lower().count("post hoc") == 1
    answer = routes.page.text(routes.page.by_id("answer"))
    assert answer.count("post hoc") == 1
