"""Verdicts on a terminal: every line of a small hand-made analysis, wide and narrow."""

from collections.abc import Callable
from types import MappingProxyType, SimpleNamespace
from typing import Any

import pytest

from kdgap.cli import printing
from kdgap.cli.verdicts import print_verdicts
from kdgap.methods import METHODS


def entry(method: str, **changes: Any) -> dict[str, Any]:
    """A gain of big → little as an analysis has it: inconclusive, unless it is changed."""
    known: dict[str, Any] = {
        "teacher": "big",
        "student": "little",
        "method": method,
        "slot": f"big → little {method}",
        "configuration": "c",
        "parameters": MappingProxyType({}),
        "baseline_runs": ("plain",),
        "seeds": ((0, 1, 2, 3, 4), (0, 1, 2, 3, 4)),
        "label": METHODS[method].label if method in METHODS else method,
        "tried": 1,
        "n": 5,
        "n_baseline": 5,
        "mean_pp": 95.0,
        "std_pp": 0.158,
        "baseline_mean_pp": 94.9,
        "baseline_std_pp": 0.1581,
        "gain_pp": 0.1,
        "ci95_pp": [-0.13, 0.33],
        "p": 0.35,
        "p_holm": 0.7,
        "verdict": "inconclusive",
        "seeds_needed": 21,
        "n_smallest": 5,
        "flags": [],
    }
    known |= changes
    known["value_pp"] = known["gain_pp"]
    alone = any(flag["code"] == "equivalence-uncorrected" for flag in known["flags"])
    verdict = known["verdict"]
    return known | {
        "uncorrected": alone,
        "verdict_text": f"{verdict}, uncorrected" if alone else verdict,
    }


LOGIT = entry(
    "logit",
    tried=4,
    mean_pp=95.2,
    gain_pp=0.3,
    ci95_pp=[0.0695, 0.5305],
    p=0.00004,
    p_holm=0.00008,
    verdict="gain",
    seeds_needed=14,
    flags=[
        {"code": "tied", "text": "2 configurations tied on validation"},
        {"code": "unequal-seeds", "text": "the arms have different seeds"},
    ],
)
FEATURE = entry("feature", n=4, p=0.03, p_holm=0.06)
LOST = entry(
    "logit",
    teacher=None,
    student="other",
    tried=4,
    n=1,
    n_baseline=0,
    mean_pp=95.0,
    std_pp=None,
    baseline_mean_pp=None,
    baseline_std_pp=None,
    gain_pp=None,
    ci95_pp=None,
    p=None,
    p_holm=None,
    seeds_needed=None,
    flags=[{"code": "no-baseline", "text": "no baseline [with] the same recipe"}],
)


def analysis(*gains: dict[str, Any], **changes: Any) -> dict[str, Any]:
    known: dict[str, Any] = {
        "study": {"name": "made", "done": 14, "runs": 15, "marks": ["quick"], "main_claim": None},
        "settings": {
            "primary": "best",
            "smallest_effect_pp": 0.2,
            "test": "welch",
            "confidence": 0.95,
            "alpha": 0.05,
            "power": 0.8,
            "gains_in_family": len(gains),
            "reference": None,
        },
        "reference_gains": [],
        "baselines": [],
        "teachers": [{"name": "big", "mean_pp": 96.5, "std_pp": None}],
        "gains": list(gains),
        "contrasts": [
            {
                "name": "gains",
                "text": "It gains",
                "outcome": "established",
                "estimate_pp": 0.3,
                "ci95_pp": [0.07, 0.53],
                "post_hoc": False,
                "sentence": "“It gains”: established; +0.30 pp [+0.07, +0.53].",
            },
            {
                "name": "more",
                "text": "[More] gains",
                "outcome": "not established",
                "estimate_pp": 0.1,
                "ci95_pp": None,
                "post_hoc": True,
                "sentence": "“[More] gains”: not established; +0.10 pp.",
            },
        ],
        "flags": [
            {"code": "protocol", "text": "said before"},
            {"code": "failures", "text": "runs that are failed: 1"},
        ],
        "failures": [{"state": "failed", "path": "runs/final/9", "remark": "diverged [nan]"}],
    }
    return known | changes


def _as_objects(value: Any) -> Any:
    """Return dictionaries as objects with attributes, as an analysis has them."""
    if isinstance(value, dict):
        return SimpleNamespace(**{key: _as_objects(inner) for key, inner in value.items()})
    return [_as_objects(inner) for inner in value] if isinstance(value, list) else value


@pytest.fixture
def printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[list[str], list[str]]]:
    """Print an analysis at some width; lines on stdout and on stderr, without padding."""

    def show(
        document: dict[str, Any], columns: int = 120, **asked: Any
    ) -> tuple[list[str], list[str]]:
        monkeypatch.setattr(printing.out, "width", columns)
        print_verdicts(_as_objects(document), **asked)
        captured = capsys.readouterr()
        out, err = (
            [line.rstrip() for line in text.splitlines()] for text in (captured.out, captured.err)
        )
        return out, err

    return show


Printed = Callable[..., tuple[list[str], list[str]]]
FIRST = "Shown: It gains. +0.30 pp, somewhere between +0.07 and +0.53 (95 %)."
HEAD = (
    "made: 14 of 15 runs in 1 min 01 s · test accuracy of the best weights · teachers big 96.50 %"
    " (mean ± std over seeds)"
)
WIDE = """
┏━━━━━━━━━━━━━━┳━━━┳━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━┳━━━━━━━━━━┳━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━┓
┃              ┃ n ┃ accuracy (%) ┃    gain in pp [95 %] ┃ p        ┃ Holm p   ┃ verdict      ┃ seeds needed ┃
┡━━━━━━━━━━━━━━╇━━━╇━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━╇━━━━━━━━━━╇━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━┩
│ big → little │ 5 │ 94.90 ± 0.16 │                      │          │          │              │              │
│   Logit-KD   │ 5 │ 95.20 ± 0.16 │ +0.30 [+0.07, +0.53] │ < 0.0001 │ < 0.0001 │ gain *       │              │
│   Feature-KD │ 4 │ 95.00 ± 0.16 │ +0.10 [−0.13, +0.33] │ 0.030    │ 0.060    │ inconclusive │           21 │
│ other        │ 0 │ –            │                      │          │          │              │              │
│   Logit-KD   │ 1 │ 95.00        │                    – │ –        │ –        │ inconclusive │              │
└──────────────┴───┴──────────────┴──────────────────────┴──────────┴──────────┴──────────────┴──────────────┘
Mind: quick. Gains over the baseline of the same student; n = 0 to 5, Welch intervals. Verdicts: Holm over 3 gains,
equivalence within ±0.2 pp. * = significant after correction. Configurations tried: Logit-KD 4, Feature-KD 1.
"""  # noqa: E501
NARROW = """
┏━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━━━━━━━━━┓
┃              ┃ accuracy (%) ┃ gain in pp [95 %]    ┃
┡━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━━━━━━━━━┩
│ big → little │ 94.90 ± 0.16 │                      │
│   Logit-KD   │ 95.20 ± 0.16 │ +0.30 [+0.07, +0.53] │
│              │              │ gain *               │
│   Feature-KD │ 95.00 ± 0.16 │ +0.10 [−0.13, +0.33] │
│              │              │ inconclusive         │
│ other        │ –            │                      │
│   Logit-KD   │ 95.00        │ –                    │
│              │              │ inconclusive         │
└──────────────┴──────────────┴──────────────────────┘
Mind: quick. Gains over the baseline of the same
student; n = 0 to 5, Welch intervals. Verdicts: Holm
over 3 gains, equivalence within ±0.2 pp. * =
significant after correction. Configurations tried:
Logit-KD 4, Feature-KD 1.
"""
REST = """
Claim “It gains”: established; +0.30 pp [+0.07, +0.53].
Claim “[More] gains”: not established; +0.10 pp. [post hoc]
Inconclusive: 2 of 3 gains, 1 of them without a result. 21 seeds a side would find 0.2 pp with 80 % power.
"""  # noqa: E501
REMARKS = """
note: runs that are failed: 1
failed: runs/final/9: diverged [nan]
note: Logit-KD, big → little: the arms have different seeds
note: Logit-KD, other: no baseline [with] the same recipe
"""


@pytest.mark.parametrize(("columns", "table"), [(120, WIDE), (56, NARROW)])
def test_a_small_analysis_is_printed_line_by_line_as_it_is_here(
    printed: Printed, columns: int, table: str
) -> None:
    document = analysis(LOGIT, FEATURE, LOST)
    out, err = printed(
        document, columns, seconds=61, shown=[SimpleNamespace(code="protocol", text="said before")]
    )
    assert out == [FIRST, HEAD, *table.strip().splitlines(), *REST.strip().splitlines()]
    assert err == REMARKS.strip().splitlines()


@pytest.mark.parametrize(
    ("seconds", "now", "words"),
    [
        (61, None, "14 of 15 runs in 1 min 01 s"),
        (61, 14, "14 of 15 runs in 1 min 01 s"),
        (61, 9, "14 of 15 runs, 9 of them now, in 1 min 01 s"),
        (61, 0, "14 of 15 runs, none of them now"),
        (None, None, "14 of 15 runs"),
    ],
)
def test_the_time_is_that_of_the_runs_that_were_trained_in_it(
    printed: Printed, seconds: float | None, now: int | None, words: str
) -> None:
    out, _ = printed(analysis(LOGIT), seconds=seconds, now=now)
    assert out[1].startswith(f"made: {words} · test accuracy")


def level(runs: str, epochs: int) -> SimpleNamespace:
    return SimpleNamespace(runs=(runs,), epochs=epochs, configuration=64 * "a")


RECIPES = """
                        n  accuracy (%)     gain in pp [95 %]  verdict
───────────────────────────────────────────────────────────────────────────
big → little, 2 epochs  5  94.90 ± 0.16
  Logit-KD              5  95.00 ± 0.16  +0.10 [−0.13, +0.33]  inconclusive
    temperature 4
  Logit-KD              5  95.00 ± 0.16  +0.10 [−0.13, +0.33]  inconclusive
    temperature 1
big → little, 4 epochs  5  80.00 ± 0.16
  Logit-KD              5  80.10 ± 0.16  +0.10 [−0.13, +0.33]  inconclusive
"""
RECIPES_BELOW = """
┏━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━━━━━━━━━┓
┃ accuracy (%)      ┃    gain in pp [95 %] ┃
┡━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━━━━━━━━━┩
│ big → little      │                      │
│   2 epochs        │                      │
│   94.90 ± 0.16    │                      │
│   Logit-KD        │ +0.10 [−0.13, +0.33] │
│     temperature 4 │         inconclusive │
│     95.00 ± 0.16  │                      │
│   Logit-KD        │ +0.10 [−0.13, +0.33] │
│     temperature 1 │         inconclusive │
│     95.00 ± 0.16  │                      │
│ big → little      │                      │
│   4 epochs        │                      │
│   80.00 ± 0.16    │                      │
│   Logit-KD        │ +0.10 [−0.13, +0.33] │
│     80.10 ± 0.16  │         inconclusive │
└───────────────────┴──────────────────────┘
"""


@pytest.mark.parametrize(("columns", "table"), [(80, RECIPES), (44, RECIPES_BELOW)])
def test_a_gain_stands_below_the_baseline_that_it_is_over(
    printed: Printed, columns: int, table: str
) -> None:
    other = {"baseline_runs": ("more",), "baseline_mean_pp": 80.0, "mean_pp": 80.1}
    warm, cold = (MappingProxyType({"alpha": 0.5, "temperature": t}) for t in (4.0, 1.0))
    gains = (
        entry("logit", parameters=warm),
        entry("logit", parameters=warm, **other),
        entry("logit", parameters=cold),
    )
    document = analysis(*gains, baselines=[level("plain", 2), level("more", 4)])
    out, _ = printed(document, columns)
    lines = table.strip("\n").splitlines()
    assert out[2 : 2 + len(lines)] == lines


REFERENCE = {"method": "logit", "label": "Logit-KD", "gains_in_family": 3}
CONTROL = {"teacher": None, "student": "little", "slot": "little label_smoothing"}
WITH_REFERENCE = """
┏━━━━━━━━━━━━━━━━━━━━━┳━━━┳━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━┓
┃                     ┃ n ┃ accuracy (%) ┃    gain in pp [95 %] ┃ verdict      ┃ over Logit-KD        ┃ verdict      ┃
┡━━━━━━━━━━━━━━━━━━━━━╇━━━╇━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━┩
"""  # noqa: E501
BELOW = """
                     n  accuracy (%)     gain in pp [95 %]  over Logit-KD
────────────────────────────────────────────────────────────────────────────────
big → little         5  94.90 ± 0.16
  Logit-KD           5  95.20 ± 0.16  +0.30 [+0.07, +0.53]  the reference
                                                    gain *
  Feature-KD         4  95.00 ± 0.16  +0.10 [−0.13, +0.33]  −0.20 [−0.30, −0.10]
                                              inconclusive  harm *
  DKD                5  95.00 ± 0.16  +0.10 [−0.13, +0.33]  –
                                              inconclusive
little               5  94.90 ± 0.16
  label smoothing    5  95.00 ± 0.16  +0.10 [−0.13, +0.33]
                                              inconclusive
    in big → little                                         +0.40 (no interval)
                                                            inconclusive
    in old → little                                         –
                                                            inconclusive
Mind: quick. Gains over the baseline of the same student; n = 4 to 5, Welch
intervals. Verdicts: Holm over 4 gains over plain training, and over 3 over
Logit-KD, equivalence within ±0.2 pp. * = significant after correction.
Configurations tried: Logit-KD 4, Feature-KD 1, DKD 1, label smoothing 1.
"""


def referred() -> dict[str, Any]:
    """Methods against a reference: one of its pair, one left out, a control in two pairs."""
    worse = entry("feature", gain_pp=-0.2, ci95_pp=[-0.3, -0.1], p_holm=0.01, verdict="harm")
    worse["flags"] = [{"code": "untried", "text": "not in the grid"}]
    control = entry("label_smoothing", **CONTROL)
    alone = control | {"teacher": "big", "gain_pp": 0.4, "ci95_pp": None}
    lost = control | {"teacher": "old", "gain_pp": None, "ci95_pp": None}
    document = analysis(LOGIT, FEATURE, entry("dkd"), control, reference_gains=[worse, alone, lost])
    document["settings"] |= {"reference": REFERENCE}
    return document


@pytest.mark.parametrize(("columns", "table"), [(80, BELOW), (124, WITH_REFERENCE)])
def test_gains_over_a_reference_stand_beside_those_over_plain_training(
    printed: Printed, columns: int, table: str
) -> None:
    out, err = printed(referred(), columns)
    lines = table.strip("\n").splitlines()
    assert out[2 : 2 + len(lines)] == lines
    assert max(map(len, out[2 : 2 + len(lines)])) <= columns
    assert "Over Logit-KD: 2 inconclusive, 1 harm." in out
    assert "note: Feature-KD over Logit-KD, big → little: not in the grid" in err


def test_on_a_terminal_of_60_columns_the_reference_breaks_no_number(printed: Printed) -> None:
    out, _ = printed(referred(), 60)
    table = out[2 : next(n for n, line in enumerate(out) if line.startswith("Mind:"))]
    assert len(table) > 15
    assert max(map(len, table)) <= 60
    text = "\n".join(table)
    for whole in ("95.00 ± 0.16", "+0.10 [−0.13, +0.33]", "−0.20 [−0.30, −0.10]", "harm *"):
        assert whole in text


def test_equivalences_before_correction_alone_are_counted_apart(printed: Printed) -> None:
    alone = [{"code": "equivalence-uncorrected", "text": "alone"}]
    same = [entry("feature", verdict="equivalent", flags=flags) for flags in (alone, alone, [])]
    document = analysis(LOGIT, reference_gains=[*same, entry("dkd")])
    document["settings"] |= {"reference": REFERENCE}
    out, _ = printed(document)
    words = "Over Logit-KD: 3 equivalent (2 of them before correction only), 1 inconclusive."
    assert words in out


def test_where_nothing_is_compared_with_the_reference_it_is_said(printed: Printed) -> None:
    document = analysis(LOGIT)
    document["settings"] |= {"reference": {**REFERENCE, "gains_in_family": 0}}
    out, _ = printed(document)
    assert "Over Logit-KD: no method could be compared with it." in out


@pytest.mark.parametrize(
    ("verdict", "p", "p_holm", "shown"),
    [
        ("gain", 0.001, 0.008, "gain *"),
        ("harm", 0.001, 0.05, "harm *"),  # as large as alpha is still significant
        ("inconclusive", 0.001, 0.0501, "inconclusive"),
        ("equivalent", 0.049, 0.3, "equivalent"),
        ("inconclusive", None, None, "inconclusive"),
    ],
)
@pytest.mark.parametrize("columns", [120, 56])
def test_only_a_corrected_p_earns_a_star(
    printed: Printed, verdict: str, p: float | None, p_holm: float | None, shown: str, columns: int
) -> None:
    document = analysis(entry("logit", verdict=verdict, p=p, p_holm=p_holm))
    out, _ = printed(document, columns)
    (line,) = (line for line in out if line.startswith("│   Logit-KD"))
    cells = [cell.strip() for cell in line.strip("│").split("│")]
    if columns == 56:  # below its number
        assert out[out.index(line) + 1].strip("│ ") == shown
    else:
        assert cells[-2] == shown
        assert cells[4:6] == ["–" if v is None else f"{v:.3f}" for v in (p, p_holm)]


def test_what_all_gains_share_is_only_said_once(printed: Printed) -> None:
    shared = ("one-teacher", "shared-selection-seed", "one-selection-seed", "run", "tied")
    flags = [{"code": code, "text": f"text of {code}"} for code in (*shared, "few-seeds")]
    document = analysis(entry("feature", flags=flags), entry("logit", flags=flags), failures=[])
    _, err = printed(document)
    assert err == [
        "note: said before",
        "note: runs that are failed: 1",
        "note: Feature-KD, big → little: text of few-seeds",
        "note: Logit-KD, big → little: text of few-seeds",
    ]


@pytest.mark.parametrize(
    ("gains", "more"), [(4, []), (5, ["1 more note"]), (40, ["36 more notes"])]
)
def test_what_is_so_of_many_gains_fills_no_screen(
    printed: Printed, gains: int, more: list[str]
) -> None:
    flags = [{"code": code, "text": f"text of {code}"} for code in ("few-seeds", "untried")]
    document = analysis(*[entry("logit", flags=flags)] * gains, failures=[])
    _, err = printed(document)
    own = "note: Logit-KD, big → little: text of"
    assert err[2:] == [
        line
        for code in ("few-seeds", "untried")
        for line in (
            *[f"{own} {code}"] * 4,
            *(f"note: {text} of the kind {code}: analysis.json has them all" for text in more),
        )
    ]


@pytest.mark.parametrize(
    ("needed", "words"),
    [
        (
            (14, 14),
            "Inconclusive: 2 of 3 gains. 14 seeds a side would find 0.2 pp with 80 % power.",
        ),
        ((21, 9), "Inconclusive: 2 of 3 gains. 9 to 21 seeds a side would find 0.2 pp with 80 %"),
        # Five seeds a side are there.
        (
            (21, 5, 3),
            "Inconclusive: 3 of 4 gains. 21 seeds a side would find 0.2 pp with 80 % power. The"
            " seeds of 2 of them find 0.2 pp with 80 % power, and did not here.",
        ),
        (
            (5,),
            "Inconclusive: 1 of 2 gains. The seeds of 1 of them find 0.2 pp with 80 % power, and"
            " did not here.",
        ),
        ((None,), "Inconclusive: 1 of 2 gains. No affordable number of seeds would find 0.2 pp."),
        ((), None),
    ],
)
def test_the_seeds_that_are_needed_are_of_what_is_inconclusive(
    printed: Printed, needed: tuple[int | None, ...], words: str | None
) -> None:
    open_gains = [entry(f"m{number}", seeds_needed=n) for number, n in enumerate(needed)]
    out, _ = printed(analysis(LOGIT, *open_gains), 200)
    lines = [line for line in out if line.startswith("Inconclusive")]
    assert [line[: len(words)] for line in lines] == [words] if words else not lines


def test_without_gains_or_marks_only_what_there_is_is_said(printed: Printed) -> None:
    study = {"name": "made", "done": 3, "runs": 3, "marks": [], "main_claim": None}
    document = analysis(study=study, teachers=[], contrasts=[], flags=[], failures=[])
    out, err = printed(document)
    assert out == [
        "No method was compared with plain training yet.",
        "made: 3 runs · test accuracy of the best weights",
    ]
    assert err == []
    out, _ = printed(analysis(LOGIT, study=study))
    assert not [line for line in out if "Mind:" in line]
    paired = analysis(LOGIT)
    paired["settings"] |= {"test": "paired"}
    out, _ = printed(paired)
    assert (
        "Gains over the baseline of the same student; n = 5, paired by seed intervals."
        in " ".join(out)
    )
