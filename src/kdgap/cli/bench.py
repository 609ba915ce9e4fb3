"""`kdgap bench`: the engine beside the reference-style loop, on this machine."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

EXAMPLES = "Examples: kdgap bench --quick\nkdgap bench b c --rounds 5 --out speed.json"


def bench(
    cases: Annotated[
        list[str] | None,
        typer.Argument(metavar="CASE", help="Cases by letter, a to f; all of them by default."),
    ] = None,
    rounds: Annotated[int, typer.Option(help="Rounds that are timed.", min=1, max=100)] = 3,
    quick: Annotated[
        bool, typer.Option("--quick", help="Small networks only: within a minute.")
    ] = False,
    precision: Annotated[
        str, typer.Option(help="The engine's: fp32, bf16, or auto = bf16 where it is in hardware.")
    ] = "auto",
    threads: Annotated[
        int | None, typer.Option(help="CPU threads of all arms; torch's choice by default.", min=1)
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Also write the JSON to this file.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Time the engine against the training loop that public code shares, in turns.

    The reference loop is float32 with a PIL loader and asks the teacher anew for every student; its
    variant runs in bfloat16 and channels_last. Ratios are the result: absolute times drift.
    """
    from kdgap.benchmark.cases import CASES, QUICK
    from kdgap.benchmark.table import run_cases
    from kdgap.cli.printing import print_json, say
    from kdgap.errors import BadInputError
    from kdgap.files import json_text
    from kdgap.store.record import export_bytes

    for key in cases or []:
        if key not in CASES:
            raise BadInputError(f"no case {key!r}; there are {', '.join(CASES)}")
    if precision not in ("auto", "fp32", "bf16"):
        raise BadInputError(f"--precision {precision}: choose fp32, bf16 or auto")
    timings = run_cases(
        [CASES[key] for key in cases] if cases else QUICK if quick else list(CASES.values()),
        1 if quick else rounds,
        None if precision == "auto" else precision,  # type: ignore[arg-type]
        threads,
        say=say,
    )
    if as_json:
        print_json(timings)
    else:
        _print(timings)
    if out is not None:  # last: what took minutes to find is shown whatever the disk does
        export_bytes(out, (json_text(timings) + "\n").encode())
        say(f"written: {out}")


def _print(timings: Mapping[str, Any]) -> None:
    from kdgap.cli.printing import answer, print_table

    rows = timings["cases"]
    answer(_title(timings))
    for case in rows:
        answer(f"  {case['case']}  {case['title']}")
    print_table("", SPEED, [_speed(case) for case in rows], _caption(timings))
    print_table("", COST, [_cost(case) for case in rows], "Shares are of the engine's time.")


SPEED = ("", "s a step", "reference", "its bf16", "times faster", "than its bf16")
COST = ("", "GFLOP/s", "batches", "saving", "peak memory", "reference's")


def _title(timings: Mapping[str, Any]) -> str:
    env = timings["environment"]
    rates = ", ".join(
        f"{precision} {rate / 1e9:.0f}"
        for precision, rate in timings["matrix_flops_per_second"].items()
    )
    return (
        f"Engine ({timings['precision']}) beside the reference-style loop;"
        f" {env['threads']} threads, {env['cpu_capability']}, torch {env['torch']};"
        f" a matrix product runs at {rates} GFLOP/s."
    )


def _caption(timings: Mapping[str, Any]) -> str:
    rounds = timings["cases"][0]["rounds"]
    return (
        f"Median of {rounds} round{'s' * (rounds > 1)} in turns [least, most]; a step of every run"
        " of the case, with its share of validation."
    )


def _speed(case: Mapping[str, Any]) -> list[str | None]:
    from kdgap.benchmark.arm_process import ENGINE, REFERENCE, VARIANT

    def ratio(arm: str) -> str:
        spread = case["ratio"][arm]
        return f"{spread['median']:.2f} [{spread['min']:.2f}, {spread['max']:.2f}]"

    seconds = case["seconds_per_step"]
    times = [f"{seconds[arm]:.3g}" for arm in (ENGINE, REFERENCE, VARIANT)]
    return [case["case"], *times, ratio(REFERENCE), ratio(VARIANT)]


def _cost(case: Mapping[str, Any]) -> list[str | None]:
    from kdgap.benchmark.arm_process import ENGINE, REFERENCE
    from kdgap.numbers import memory

    peaks = case["peak_memory_bytes"]
    return [
        case["case"],
        f"{case['flops_per_second'] / 1e9:.0f}",
        f"{case['batch_share']:.2%}",
        f"{case['saving_share']:.2%}",
        *(memory(peaks[arm]) for arm in (ENGINE, REFERENCE)),
    ]
