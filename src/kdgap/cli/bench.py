"""`kdgap bench`: the engine beside the reference-style loop, on this machine."""

from pathlib import Path
from typing import Annotated, Any

import typer

EXAMPLES = "Examples: kdgap bench --quick · kdgap bench b c --rounds 5 --out speed.json"


def bench(
    cases: Annotated[
        list[str] | None, typer.Argument(help="Cases by letter, a to f; all of them by default.")
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
    memory: Annotated[
        bool, typer.Option("--memory/--no-memory", help="Also measure peak memory.")
    ] = True,
    out: Annotated[Path | None, typer.Option(help="Also write the JSON to this file.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Time the engine against the loop that public code shares, taking turns in one run.

    The reference loop is float32 with a PIL loader and asks the teacher anew for every student; its
    variant runs in bfloat16 and channels_last. Ratios are the result: absolute times drift.
    """
    from kdgap.benchmark.cases import CASES, QUICK
    from kdgap.benchmark.table import run_cases
    from kdgap.cli.printing import print_json, print_table, say
    from kdgap.errors import BadInputError
    from kdgap.files import json_text
    from kdgap.store.record import export_bytes

    keys = cases or list(QUICK if quick else CASES)
    for key in keys:
        if key not in CASES:
            raise BadInputError(f"no case {key!r}; there are {', '.join(CASES)}")
    if precision not in ("auto", "fp32", "bf16"):
        raise BadInputError(f"--precision {precision}: choose fp32, bf16 or auto")
    found = run_cases(
        [CASES[key] for key in keys],
        1 if quick else rounds,
        None if precision == "auto" else precision,  # type: ignore[arg-type]
        threads,
        memory=memory and not quick,
        say=say,
    )
    if out is not None:
        export_bytes(out, (json_text(found) + "\n").encode())
        say(f"written: {out}")
    if as_json:
        print_json(found)
        return
    print_table(_title(found), COLUMNS, [_row(case) for case in found["cases"]], _caption(found))


COLUMNS = (
    "case",
    "times reference",
    "times its bf16",
    "s/step",
    "reference",
    "its bf16",
    "GFLOP/s",
    "batches",
    "saving",
    "memory",
    "reference",
)


def _title(found: dict[str, Any]) -> str:
    env = found["environment"]
    rates = ", ".join(
        f"{precision} {rate / 1e9:.0f}"
        for precision, rate in found["matrix_flops_per_second"].items()
    )
    return (
        f"engine ({found['precision']}) beside the reference-style loop · {env['threads']} threads,"
        f" {env['cpu_capability']}, torch {env['torch']} · matrix product, GFLOP/s: {rates}"
    )


def _caption(found: dict[str, Any]) -> str:
    rounds = found["cases"][0]["rounds"]
    return (
        f"Median of {rounds} interleaved round{'s' * (rounds > 1)} [least, most]. s/step: all runs"
        " of the case, validation included. batches, saving: shares of the engine's time, a state"
        " every two minutes. memory: peak of a process."
    )


def _row(case: dict[str, Any]) -> list[str | None]:
    from kdgap.benchmark.measure import ENGINE, REFERENCE, VARIANT

    def ratio(arm: str) -> str:
        spread = case["ratio"][arm]
        return f"{spread['median']:.2f} [{spread['min']:.2f}, {spread['max']:.2f}]"

    seconds, memory = case["seconds_per_step"], case.get("peak_memory_bytes", {})

    def gigabytes(arm: str) -> str | None:
        return f"{memory[arm] / 1e9:.2f} GB" if arm in memory else None

    return [
        f"{case['case']}  {case['title']}",
        ratio(REFERENCE),
        ratio(VARIANT),
        *(f"{seconds[arm]:.3f}" for arm in (ENGINE, REFERENCE, VARIANT)),
        f"{case['flops_per_second'] / 1e9:.0f}",
        f"{case['batch_share']:.2%}",
        f"{case['saving_share']:.2%}",
        gigabytes(ENGINE),
        gigabytes(REFERENCE),
    ]
