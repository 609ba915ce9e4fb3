"""Tables show what the analysis says, keep every digit beside it, and stand in files."""

import csv
import io
import json
import math
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kdgap.errors import BadInputError
from kdgap.judge.document import to_json
from kdgap.judge.evidence import Evidence, Run
from kdgap.judge.judging import with_claims
from kdgap.judge.load import load
from kdgap.notice import serious
from kdgap.report.tables import files, forms, frames, judged, measured
from kdgap.report.tables.forms import LATEX_HEAD, Table
from kdgap.spec.claims import ClaimsFile
from kdgap.spec.slot import Slot
from kdgap.store.imports.directory import ImportedDirectory
from kdgap.store.imports.imported import import_runs
from tests.conftest import SHARED_DATA
from tests.judge.builders import (
    analyse,
    but,
    claim,
    evidence,
    final,
    pair_of,
    plain,
    runs_of,
    tuning,
)
from tests.report.test_forms import HOSTILE

BASELINE = [94.9, 95.1, 94.8, 95.0, 94.7]
METHOD = [95.2, 95.4, 95.0, 95.3, 95.1]
WORSE = [94.5, 94.7, 94.3, 94.6, 94.4]
TERM = {"teacher": "big", "student": "little", "method": "logit"}


def column(shown: Table, name: str) -> list[str | None]:
    return [row[shown.columns.index(name)] for row in shown.rows]


def values(shown: Table, field: str) -> list[Any]:
    return [row[shown.fields.index(field)] for row in shown.values]


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def whole() -> Evidence:
    """A study with everything that a table shows: two methods, an ablation, claims, a grid."""
    runs = runs_of(plain("little"), BASELINE)
    runs += runs_of(final("big", "little", "logit"), METHOD, parameters={"alpha": 0.5})
    runs += runs_of(final("big", "little", "feature"), WORSE, parameters={"alpha": 0.3})
    runs += runs_of(Slot("teacher", None, "big", "none"), [96.0, 96.2])
    runs = [run if run.slots[0].method == "none" else _measured(run) for run in runs]
    for side, percents in (("base", BASELINE), ("changed", WORSE)):
        slot = Slot("ablation", None, "little", "none", "", "stem", side)
        runs += runs_of(slot, percents, configuration=f"ablation {side}")
    return evidence(
        runs,
        claims=(claim("more", [{"weight": 1, **TERM}]),),
        tunings=(tuning({"alpha": 0.5}, {0.3: 0.94, 0.5: 0.95, 0.9: None}),),
    )


def _measured(run: Run) -> Run:
    fidelity = {"top1_agreement": 0.95 + run.seed / 1000, "kl_t1": 0.14, "kl_t4": 0.03, "ece": 0.02}
    return but(run, test={"best": {**run.test["best"].document, **fidelity}}, teacher_accuracy=0.96)


def test_negative_gains_are_numbers_in_the_file() -> None:
    pair = pair_of(BASELINE, WORSE)
    (gain,) = analyse(pair).gains
    (row,) = rows_of(forms.as_csv(judged.gains(analyse(pair))))
    assert float(row["gain_pp"]) == gain.gain_pp < 0
    assert (float(row["ci95_low_pp"]), float(row["ci95_high_pp"])) == gain.ci95_pp
    assert float(row["paired_gain_pp"]) == gain.paired.gain_pp


# What the tables say ----------------------------------------------------------------------------


def test_gains_are_shown_with_sign_interval_and_both_counts() -> None:
    analysis = analyse(pair_of(BASELINE, METHOD))
    (gain,) = analysis.gains
    shown = judged.gains(analysis)
    low, high = gain.ci95_pp
    assert column(shown, "Pair") == ["big → little"]
    assert column(shown, "n") == ["5 / 5"]
    assert column(shown, "Accuracy") == ["95.20 ± 0.16"]
    assert column(shown, "Baseline") == ["94.90 ± 0.16"]
    assert column(shown, "Gain in pp [95 %]") == [f"+0.30* [+{low:.2f}, +{high:.2f}]"]
    assert values(shown, "baseline_std_pp") == [pytest.approx(0.158, abs=0.001)]


@pytest.mark.parametrize(
    ("p_holm", "starred"), [(0.05, True), (0.0500001, False), (None, False), (1.0, False)]
)
def test_a_star_is_only_given_to_a_corrected_result(p_holm: float | None, starred: bool) -> None:
    analysis = analyse(whole())

    def so(entries: Any) -> Any:
        known = {"p": 0.001, "p_holm": p_holm, "p_claim_holm": p_holm}
        return tuple(
            replace(entry, **{k: v for k, v in known.items() if hasattr(entry, k)})
            for entry in entries
        )

    views = (
        replace(view, gains=so(view.gains), contrasts=so(view.contrasts))
        for view in analysis.sensitivity
    )
    analysis = replace(
        analysis,
        sensitivity=tuple(views),
        **{part: so(getattr(analysis, part)) for part in ("gains", "contrasts", "ablations")},
    )
    for table_of in (judged.gains, judged.contrasts, judged.ablations, judged.sensitivity):
        shown = table_of(analysis)
        assert shown.rows
        for row in shown.rows:
            assert any("*" in (cell or "") for cell in row) is starred, (shown.name, row)


def test_the_note_says_what_a_star_is_and_for_how_many_comparisons_it_was_corrected() -> None:
    analysis = analyse(whole())
    for shown, count in (
        (judged.gains(analysis), "2 gains"),
        (judged.contrasts(analysis), "1 claim"),
        (judged.ablations(analysis), "1 ablation"),
    ):
        assert f"corrected for {count};" in shown.caption
        assert "* Holm p ≤ 0.05" in shown.caption
        assert "n: seeds" in shown.caption
        assert "$^{*}$ Holm p $\\le$ 0.05" in forms.as_latex(shown)


def test_a_claim_is_shown_by_the_test_that_it_needs() -> None:
    study = with_claims(
        whole(),
        ClaimsFile(
            claims=[
                claim("more", [{"weight": 1, **TERM}]),
                claim("no-worse", [{"weight": 1, **TERM}], says="not_below"),
            ]
        ),
    )
    analysis = analyse(study)
    shown = judged.contrasts(analysis)
    more, no_worse = analysis.contrasts
    assert column(shown, "Outcome") == [more.outcome, no_worse.outcome]
    assert column(shown, "Post hoc") == ["yes", "yes"]
    assert values(shown, "p_claim") == [more.p, no_worse.p_claim]
    assert values(shown, "terms")[0] == "big → little logit (1); baseline of little (-1)"


def test_an_arm_without_runs_is_dashes_and_not_an_error() -> None:
    shown = judged.gains(analyse(pair_of(BASELINE, [95.0, None, None, None, None])))
    (row,) = shown.rows
    assert "(no interval)" in str(row)
    shown = judged.gains(analyse(pair_of(BASELINE, [None] * 5)))
    assert column(shown, "Accuracy") == [None]
    assert column(shown, "Gain in pp [95 %]") == [None]


def test_several_configurations_of_one_slot_are_told_apart() -> None:
    runs = runs_of(plain("little"), BASELINE)
    for alpha in (0.3, 0.7):
        slot = final("big", "little", "logit")
        runs += runs_of(slot, METHOD, configuration=f"alpha {alpha}", parameters={"alpha": alpha})
    shown = judged.gains(analyse(evidence(runs)))
    assert column(shown, "Settings") == ["alpha 0.3", "alpha 0.7"]


def test_selection_has_a_line_a_candidate_with_the_winner_and_what_failed() -> None:
    shown = measured.selection(analyse(whole()))
    assert column(shown, "Settings") == ["alpha 0.3", "alpha 0.5", "alpha 0.9"]
    assert column(shown, "Score") == ["94.00", "95.00", None]
    assert column(shown, "Chosen") == ["", "yes", ""]
    assert values(shown, "chosen") == [False, True, False]


def test_fidelity_is_in_percent_and_nats_with_its_interval() -> None:
    shown = measured.fidelity(analyse(whole()))
    # Five values 0.1 apart: a t interval of 2.776 times 0.158 / √5 on either side.
    assert column(shown, "Agreement") == ["95.20 [95.00, 95.40]"] * 2
    assert column(shown, "KL, T = 1") == ["0.1400"] * 2  # all alike: no interval
    assert column(shown, "of the baseline") == [None] * 2
    assert column(shown, "Teacher") == ["96.00"] * 2
    assert values(shown, "top1_agreement_mean") == [pytest.approx(0.952)] * 2
    assert not measured.fidelity(analyse(pair_of(BASELINE, METHOD))).rows


def test_another_way_of_looking_stands_beside_the_declared_one() -> None:
    analysis = analyse(whole())
    shown = judged.sensitivity(analysis)
    count = sum(len(view.gains) + len(view.contrasts) for view in analysis.sensitivity)
    assert len(shown.rows) == count > 0
    declared = [gain.verdict for gain in analysis.gains]
    assert column(shown, "As declared")[: len(declared)] == declared


def test_there_is_a_line_for_every_run_also_one_that_failed() -> None:
    pair = pair_of([94.9, None, 94.8], METHOD)
    shown = measured.runs(pair)
    assert len(shown.rows) == len(pair.runs)
    assert column(shown, "State").count("failed") == 1
    assert values(shown, "remark").count("diverged at step 3 of epoch 2") == 1
    assert values(shown, "test_accuracy_best")[:3] == [pytest.approx(0.949), None, 0.948]
    assert values(shown, "parameter_alpha")[-1] == 0.5


def test_what_is_odd_of_the_protocol_is_in_every_caption() -> None:
    study = replace(
        whole(), notices=(serious("chosen-on-test", "they are", "chosen on the test images"),)
    )
    for shown in files.all_tables(study, analyse(study)):
        assert shown.caption.endswith("Mind: chosen on the test images.")


def test_every_line_of_values_is_that_of_a_shown_row() -> None:
    study = whole()
    for shown in files.all_tables(study, analyse(study)):
        assert shown.rows, shown.name
        assert len(shown.values) == len(shown.rows)
        assert all(len(row) == len(shown.columns) for row in shown.rows)
        assert all(len(row) == len(shown.fields) == len(set(shown.fields)) for row in shown.values)
        kinds = {type(value) for row in shown.values for value in row}
        assert kinds <= {str, int, float, bool, type(None)}, shown.name


# Files and frames -------------------------------------------------------------------------------


def test_a_very_long_table_is_a_csv_file_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = whole()
    for most, there in ((5, False), (1000, True)):
        monkeypatch.setattr(files, "MOST_READ", most)
        files.write_tables(study, analyse(study), tmp_path)
        assert ("## Runs" in (tmp_path / "tables.md").read_text()) is there
        assert ("{Runs}" in (tmp_path / "tables.tex").read_text()) is there
    assert len(rows_of((tmp_path / "runs.csv").read_text())) == len(study.runs) > 5


def test_the_files_hold_every_table(tmp_path: Path) -> None:
    study = replace(whole(), name="a <b> | c")
    analysis = analyse(study)
    paths = files.write_tables(study, analysis, tmp_path / "new")
    shown = files.all_tables(study, analysis)
    assert [path.name for path in paths] == [
        "tables.md", "tables.tex", *(f"{table.name}.csv" for table in shown)
    ]  # fmt: skip
    assert sorted(paths) == sorted((tmp_path / "new").iterdir())
    markdown = paths[0].read_text()
    assert markdown.startswith("# a &lt;b&gt; \\| c\n")
    assert all(f"\n## {table.title}\n" in markdown for table in shown)
    for table in shown:
        assert len(rows_of((tmp_path / "new" / f"{table.name}.csv").read_text())) == len(table.rows)


def _named(name: str) -> Evidence:
    """A study whose networks, methods and settings have a name that is up to no good."""
    runs = runs_of(plain(name), BASELINE)
    runs += runs_of(final(name, name, name), METHOD, parameters={"alpha": name})
    return evidence(runs, name=name, marks=(name,))


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="pdflatex is not installed")
def test_pdflatex_takes_every_table_whatever_the_names_are(tmp_path: Path) -> None:
    studies = [whole(), *map(_named, HOSTILE)]
    body = ""
    for number, study in enumerate(studies):
        files.write_tables(study, analyse(study), tmp_path / str(number))
        body += f"\\input{{{number}/tables}}\n"
    packages = "\n".join(re.findall(r"\\usepackage.*", LATEX_HEAD))
    document = (
        f"\\documentclass{{article}}\n{packages}\n\\begin{{document}}\n{body}\\end{{document}}"
    )
    (tmp_path / "all.tex").write_text(document)
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "all"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=600)
    assert done.returncode == 0, done.stdout.decode(errors="replace")[-2000:]
    assert "Overfull" not in done.stdout.decode(errors="replace")


def test_an_analysis_without_ablations_leaves_none_of_an_earlier_one(tmp_path: Path) -> None:
    for study in (whole(), pair_of(BASELINE, METHOD)):
        files.write_tables(study, analyse(study), tmp_path)
    assert (tmp_path / "ablations.csv").read_text() == ""
    assert "## Ablations\n\nNone.\n" in (tmp_path / "tables.md").read_text()
    assert "Ablations" not in (tmp_path / "tables.tex").read_text()


def test_frames_hold_the_values(tmp_path: Path) -> None:
    study = whole()
    analysis = analyse(study)
    gains = frames.gains_frame(analysis)
    assert gains.gain_pp.tolist() == [gain.gain_pp for gain in analysis.gains]
    runs = frames.runs_frame(study)
    assert len(runs) == len(study.runs)
    by_configuration = 100 * runs.groupby("configuration")["test_accuracy_best"].mean()
    for gain in analysis.gains:
        assert by_configuration[gain.configuration] == pytest.approx(gain.mean_pp)


def test_a_missing_pandas_is_one_line_with_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(BadInputError, match=r"pip install 'kdgap\[notebook\]'"):
        frames.runs_frame(whole())


# The published study ----------------------------------------------------------------------------

PUBLISHED = SHARED_DATA / "reference_runs" / "runs.zip"


@pytest.mark.shared_data
def test_the_published_numbers_come_out_to_the_printed_digit(tmp_path: Path) -> None:
    if not PUBLISHED.exists():
        pytest.skip(f"{PUBLISHED} is not there")
    ImportedDirectory(tmp_path).write(*import_runs(PUBLISHED, "published"))
    analysis = analyse(load(tmp_path))
    shown = measured.levels(analysis)
    accuracy = dict(zip(column(shown, "Network"), column(shown, "Accuracy"), strict=True))
    roles = dict(zip(zip(column(shown, "Role"), column(shown, "Network"), strict=True),
                     column(shown, "Accuracy"), strict=True))  # fmt: skip
    assert roles["baseline", "resnet18"] == "94.86 ± 0.14"
    assert roles["baseline", "resnet34"] == "95.04 ± 0.13"
    teachers = {"resnet34": "95.30", "resnet50": "95.36", "resnet101": "95.37"}
    for name, mean in teachers.items():
        assert str(roles["teacher", name]).split(" ± ")[0] == mean
    assert set(accuracy) == {"resnet18", *teachers}

    shown = judged.gains(analysis)
    keys = zip(column(shown, "Pair"), column(shown, "Method"), strict=True)
    gains = {
        key: str(cell).split()[0]
        for key, cell in zip(keys, column(shown, "Gain in pp [95 %]"), strict=True)
    }
    published = {
        "resnet34 → resnet18": ("−0.08", "+0.13"),
        "resnet50 → resnet18": ("+0.06", "+0.10"),
        "resnet50 → resnet34": ("+0.08", "+0.19"),
        "resnet101 → resnet34": ("+0.06", "+0.21"),
    }
    # No star: what the paper starred does not survive the correction.
    assert gains == {
        (pair, method): value
        for pair, both in published.items()
        for method, value in zip(("Logit-KD", "Feature-KD"), both, strict=True)
    }
    shown = judged.ablations(analysis)
    bug = column(shown, "Ablation").index("projection_clipping_resnet50_to_resnet18")
    assert column(shown, "Changed")[bug] == "95.00 ± 0.18"
    assert column(shown, "Unchanged")[bug] == "94.95 ± 0.20"
    json.dumps(to_json(analysis), allow_nan=False)
    assert all(math.isfinite(value) for value in values(judged.gains(analysis), "gain_pp"))
