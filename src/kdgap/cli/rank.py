"""`kdgap rank`: which method for a student, how sure that is, and what would settle it."""

from typing import TYPE_CHECKING, Annotated

import typer

from kdgap.cli.judging import Claims, Effect, Source, evidence_of, refuse_damaged

if TYPE_CHECKING:
    from kdgap.judge.ranking import Place, Ranking

EXAMPLES = "Examples: kdgap rank runs/digits\nkdgap rank imported/published --pairs"
LAYOUTS = (
    ("name", "n", "accuracy", "plain", "best", "wins", "cost"),
    ("name", "accuracy", "plain", "best", "wins"),
    ("name", "accuracy", "plain", "best"),
)
"""Columns of the table; the first that fit the terminal are shown, the last at any width."""
PAIRS = (
    ("pair", "difference", "holm", "wins", "verdict"),
    ("below", "difference", "holm", "wins", "verdict"),
)
"""The same of every two compared; last with the second name below the first."""


def rank(
    source: Source,
    student: Annotated[
        str | None, typer.Option(metavar="NAME", help="One student; default: every student.")
    ] = None,
    claims: Claims = None,
    smallest_effect: Effect = None,
    pairs: Annotated[bool, typer.Option("--pairs", help="Also print every two compared.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Rank plain training and every method for each student, and say which to use."""
    from kdgap.cli.printing import answer, print_json, say
    from kdgap.errors import BadInputError, nearest
    from kdgap.judge.context import Context
    from kdgap.judge.document import to_json
    from kdgap.judge.ranking import rankings

    evidence = evidence_of(source, claims, smallest_effect)
    ranked = rankings(Context(evidence))
    if student is not None:
        known = [ranking.student for ranking in ranked]
        if student not in known:
            listed = ", ".join(dict.fromkeys(known)) or "none"
            raise BadInputError(
                f"--student {student!r}: no such student with results{nearest(student, known)};"
                f" there is {listed}"
            )
        ranked = [ranking for ranking in ranked if ranking.student == student]
    if not ranked:
        raise BadInputError(
            f"{evidence.path}: no student has results of plain training and of a method yet"
        )
    if as_json:
        print_json([to_json(ranking) for ranking in ranked])
        refuse_damaged(evidence)
        return
    for ranking in ranked:
        answer(f"{ranking.name}: {ranking.recommendation}")
        _print_places(ranking)
        if pairs:
            _print_pairs(ranking)
        for flag in ranking.flags:
            say(f"note: {flag.text}")
    refuse_damaged(evidence)


def _print_places(ranking: "Ranking") -> None:
    from kdgap.cli.printing import fitting, print_table, width
    from kdgap.numbers import level

    sure = level(ranking.confidence)
    titles = {
        "name": ranking.name,
        "n": "n",
        "accuracy": "accuracy (%)",
        "plain": f"over plain [{sure}]",
        "best": "− best of the others",
        "wins": "beats plain",
        "cost": "cost",
    }
    head, rows = fitting(LAYOUTS, titles, [_line(place) for place in ranking.places], width())
    caption = (
        f"In pp of test accuracy. − best of the others: holds for all at once ({sure}); where it"
        " ends at 0, the method is shown not to be the best."
    )
    if titles["wins"] in head:
        caption += " Beats plain: share of the pairs of seeds."
    if titles["cost"] in head:
        caption += (
            " Cost: computation of a step beside plain training, the method's own loss left out."
        )
    print_table("", head, rows, caption)


def _line(place: "Place") -> dict[str, str | None]:
    from kdgap.numbers import interval, spread
    from kdgap.report.tables.cells import difference

    wins = None if place.improves is None else f"{100 * place.improves:.0f} %"
    if place.improves_ci95 is not None:
        low, high = (100 * end for end in place.improves_ci95)
        wins = f"{wins} [{low:.0f}, {high:.0f}]"
    return {
        "name": place.name,
        "n": str(place.level.n),
        "accuracy": spread(place.level.mean_pp, place.level.std_pp),
        "plain": difference(place.over_plain_pp, place.over_plain_ci95_pp),
        "best": interval(place.over_best_ci95_pp),
        "wins": wins,
        "cost": None if place.cost is None else f"{place.cost:.1f} x",
    }


def _print_pairs(ranking: "Ranking") -> None:
    from kdgap.cli.printing import fitting, print_table, width
    from kdgap.numbers import counted, p_value
    from kdgap.report.tables.cells import difference

    names = [place.name for place in ranking.places]
    titles = {
        "pair": "first − second",
        "below": "first − second",
        "difference": "difference (pp)",
        "holm": "Holm p",
        "wins": "first beats second",
        "verdict": "verdict",
    }
    lines: list[dict[str, str | None]] = [
        {
            "pair": f"{names[pair.first]} − {names[pair.second]}",
            "below": f"{names[pair.first]}\n− {names[pair.second]}",
            "difference": difference(pair.difference_pp, pair.ci95_pp),
            "holm": p_value(pair.p_holm),
            "wins": None if pair.improves is None else f"{100 * pair.improves:.0f} %",
            "verdict": pair.verdict_text.replace(", ", ",\n"),
        }
        for pair in ranking.pairs
    ]
    head, rows = fitting(PAIRS, titles, lines, width())
    caption = (
        f"Corrected over {counted(len(rows), 'pair')}. A gain is of the first over the second."
    )
    print_table("", head, rows, caption)
