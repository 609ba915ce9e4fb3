"""Runs on the report's page: their anchors, links to them, and the table of every run.

The table is written here and not in a template: a study may have ten thousand runs.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from markupsafe import Markup, escape

from kdgap.judge.analysis import Analysis
from kdgap.judge.evidence import Evidence, Run
from kdgap.judge.recorded import UNTESTED
from kdgap.notice import FileNotice, Notice
from kdgap.numbers import decimals
from kdgap.spec.slot import PLAIN, Slot, of_first_role, pair_text
from kdgap.store.imports.findings import count_findings
from kdgap.text import settings_text

ROLES = ("teacher", "baseline", "final", "ablation", "selection", "single")
_KINDS = {"teacher": "the teachers", "baseline": "the baselines", "selection": "selection"}
MOST_LINKS = 60
_COLUMNS = 9


def anchors_of(evidence: Evidence) -> dict[str, str]:
    """Return run id → id of its row: the id's first letters, so that a link stays good."""
    short = {run.id: re.sub(r"[^0-9A-Za-z]", "", run.id)[:10] for run in evidence.runs}
    counts = Counter(short.values())
    return {
        identifier: f"run-{text}" if text and counts[text] == 1 else f"run-{text}-{number}"
        for number, (identifier, text) in enumerate(short.items())
    }


def tips_of(evidence: Evidence, anchors: Mapping[str, str]) -> dict[str, str]:
    """Return link → words that a point of a figure shows for its run."""
    tips = {}
    for run in evidence.runs:
        value = run.accuracy(evidence.primary)
        if value is not None:
            what = _words(run.slots, evidence) + ", " if run.slots else ""
            tips[f"#{anchors[run.id]}"] = f"{what}seed {run.seed}: {decimals(100 * value)} %"
    return tips


def slot_words(slot: Slot, evidence: Evidence) -> str:
    """Return a slot as people name it."""
    pair = pair_text(slot.teacher, slot.student)
    method = "" if slot.method == PLAIN else f" {evidence.label(slot.method)}"
    return pair + method + (f" ({slot.variant})" if slot.variant else "")


def _words(slots: Sequence[Slot], evidence: Evidence) -> str:
    """Return what a run is shown as; it may be a run of several arms."""
    return "; ".join(slot_words(slot, evidence) for slot in of_first_role(slots))


def run_links(ids: Sequence[str], by_id: Mapping[str, Run], anchors: Mapping[str, str]) -> Markup:
    """Return links to runs by their seeds; by teacher as well where there are several."""
    runs = [by_id[identifier] for identifier in ids if identifier in by_id]
    if not runs:
        return Markup("none")
    by_teacher: dict[str | None, list[Run]] = {}
    for run in runs[:MOST_LINKS]:
        by_teacher.setdefault(run.teacher, []).append(run)
    parts = []
    for teacher, members in by_teacher.items():
        seeds = Markup(" ").join(
            Markup('<a href="#{}">{}</a>').format(anchors[run.id], run.seed) for run in members
        )
        named = Markup("")
        if len(by_teacher) > 1 and teacher is not None:
            words = teacher[:8]
            named = (
                Markup('teacher <a href="#{}">{}</a>: ').format(anchors[teacher], words)
                if teacher in anchors
                else Markup("teacher {}: ").format(words)
            )
        parts.append(named + Markup("seed ") + seeds)
    left = len(runs) - MOST_LINKS
    if left > 0:
        parts.append(Markup("{} more beside them in the table of runs").format(left))
    return Markup("; ").join(parts)


def run_rows(evidence: Evidence, anchors: Mapping[str, str]) -> Markup:
    """Return the body of the table of every run, a group for each slot and configuration."""
    groups: dict[tuple[int, str, str], list[Run]] = {}
    for run in evidence.runs:
        groups.setdefault(_group(run, evidence), []).append(run)
    parts = []
    # Roles in their usual order; within a role, slots in the order of the study.
    for (_, words, configuration), runs in sorted(groups.items(), key=lambda group: group[0][0]):
        about = settings_text(runs[0].parameters) if configuration else ""
        head = escape(words + (f" · {about}" if about else ""))
        done = sum(run.state == "done" for run in runs)
        count = f"{done} of {len(runs)}" if done < len(runs) else f"{done}"
        parts.append(
            f'<tbody><tr class="group"><th scope="rowgroup" colspan="{_COLUMNS}"><span>{head}'
            f" <small>{count} {'run' if len(runs) == 1 else 'runs'}</small></span></th></tr>"
        )
        rows = sorted(runs, key=_by_seed)
        parts += [_row(run, evidence.primary, anchors, show=not configuration) for run in rows]
        parts.append("</tbody>")
    return Markup("".join(parts))  # noqa: S704  # every text in it went through `escape`


def by_kind(runs: Iterable[Run], evidence: Evidence) -> dict[str, list[Run]]:
    """Return what runs are for, in words and in the usual order of roles → the runs.

    A run that plays several roles stands under the first of them.
    """
    groups: dict[tuple[int, str], list[Run]] = {}
    for run in runs:
        slot = min(run.slots, key=lambda slot: _place(slot.role), default=None)
        role = slot.role if slot else ""
        kind = _KINDS.get(role, "other runs")
        if slot and role == "final":
            arms = (other for other in run.slots if other.role == role)
            kind = ", ".join(dict.fromkeys(evidence.label(other.method) for other in arms))
        elif slot and role == "ablation":
            kind = f"the ablation {slot.variant}"
        groups.setdefault((_place(role), kind), []).append(run)
    ordered = sorted(groups.items(), key=lambda group: group[0][0])
    return {kind: members for (_, kind), members in ordered}


def _place(role: str) -> int:
    return ROLES.index(role) if role in ROLES else len(ROLES)


def _group(run: Run, evidence: Evidence) -> tuple[int, str, str]:
    """Return role, words and configuration that a run is under; a choice's candidates together."""
    if not run.slots:
        return len(ROLES), "no role", run.configuration
    role = run.slots[0].role
    if role == "selection":
        whole = [slot.whole for slot in run.slots]
        return _place(role), _role_words(whole, evidence), ""
    return _place(role), _role_words(run.slots, evidence), run.configuration


def _role_words(slots: Sequence[Slot], evidence: Evidence) -> str:
    return f"{slots[0].role}: {_words(slots, evidence)}"


def _by_seed(run: Run) -> tuple[int, str]:
    return run.seed, run.teacher or ""


def _row(run: Run, weights: str, anchors: Mapping[str, str], *, show: bool) -> str:
    """Return a run's row; `show` its hyper-parameters where the group has several."""
    validation, test = run.validation, run.test
    best = _percent(validation.best)
    if validation.best_epoch is not None and best != "–":
        best += f" <small>({escape(validation.best_epoch)})</small>"
    state = escape(run.state)
    if run.state != "done":
        state = Markup("<strong>{}</strong>").format(run.state)
        if run.remark:
            state += Markup(" <small>{}</small>").format(run.remark[:160])
    also = [slot.role for slot in run.slots if slot.role != run.slots[0].role]
    agreement = test.get(weights, UNTESTED).top1_agreement
    where = "<br>".join(str(escape(path)) for path in run.paths[:3])
    notes = f"<br><small>also {escape(', '.join(also))}</small>" if also else ""
    if run.notices:
        words = "; ".join(notice.text for notice in run.notices)
        notes += f"<br><small>note: {escape(words)}</small>"
    if show:
        notes += f"<br><small>{escape(settings_text(run.parameters))}</small>"
    return (
        f'<tr id="{anchors[run.id]}"><th scope="row" class="n">{run.seed}</th>'
        f'<td class="n">{"–" if run.epochs is None else escape(run.epochs)}</td>'
        f'<td class="n">{best}</td><td class="n">{_percent(validation.last)}</td>'
        f'<td class="n">{_percent(test.get("best", UNTESTED).accuracy)}</td>'
        f'<td class="n">{_percent(test.get("last", UNTESTED).accuracy)}</td>'
        f'<td class="n">{_percent(agreement)}</td><td>{state}</td>'
        f'<td class="path"><code>{escape(run.id[:12])}</code> {where}{notes}</td></tr>'
    )


def _percent(share: Any) -> str:
    return decimals(100 * share) if isinstance(share, int | float) else "–"


def undone(evidence: Evidence, analysis: Analysis) -> list[dict[str, Any]]:
    """Return every run that has no result, failures first."""
    first = {failure.id: number for number, failure in enumerate(analysis.failures)}
    rows = [
        {
            "id": run.id,
            "state": run.state,
            "slot": _role_words(run.slots, evidence) if run.slots else "",
            "seed": run.seed,
            "remark": run.remark,
            "path": run.paths[0] if run.paths else "",
        }
        for run in evidence.runs
        if run.state != "done"
    ]
    return sorted(rows, key=lambda row: first.get(row["id"], len(first)))


def findings_by_kind(
    findings: Iterable[FileNotice],
) -> dict[str, tuple[int, list[tuple[str, list[tuple[str, ...]]]]]]:
    """Return kind → (how many, what they say with the paths of each), in the import's order."""
    findings = list(findings)
    counts = count_findings(findings)
    paths: dict[str, dict[Notice, list[tuple[str, ...]]]] = {}
    for finding in findings:
        paths.setdefault(finding.code, {}).setdefault(finding.notice, []).append(finding.paths)
    return {
        kind: (counts[kind], [(notice.text, files) for notice, files in notices.items()])
        for kind, notices in paths.items()
    }
