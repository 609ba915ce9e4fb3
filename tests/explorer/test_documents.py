"""Documents say what the analysis says, follow the study, and are the same when exported."""

import json
import re
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from scipy import stats

from kdgap.errors import BadInputError
from kdgap.explorer.documents import arm_document, runs_document, study_document
from kdgap.explorer.export import MARK, export_page
from kdgap.explorer.judged import compare_document
from kdgap.explorer.run_document import run_document
from kdgap.explorer.snapshot import Snapshot, take
from kdgap.explorer.watch import Watch, as_json
from kdgap.judge.document import to_json
from kdgap.judge.evidence import Run
from kdgap.judge.load import load
from kdgap.judge.study_evidence import _standing
from kdgap.spec.slot import Slot
from kdgap.spec.study import NO_DESCRIPTION
from kdgap.store.study import StudyDirectory
from tests.judge.builders import analyse, but, evidence, final, plain, runs_of
from tests.judge.test_study_evidence import BASELINE, METHOD, study


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return study(tmp_path / "study", BASELINE, METHOD).path


def test_the_study_is_what_the_analysis_says(path: Path) -> None:
    document = study_document(take(path))
    assert document["analysis"] == to_json(analyse(load(path)))
    assert sum(document["states"].values()) == len(load(path).runs)
    json.dumps(document, allow_nan=False)


def test_an_arm_has_its_runs_and_every_run_its_row(path: Path) -> None:
    snapshot = take(path)
    rows = runs_document(snapshot)["rows"]
    for number, arm in enumerate(snapshot.arms):
        document = arm_document(snapshot, number)
        assert [rows[place][0] for place in document["runs"]] == [run.id for run in arm.runs]
        assert [seed["seed"] for seed in document["seeds"]] == [run.seed for run in arm.runs]
    assert {run_document(snapshot, n)["id"] for n in range(len(rows))} == {row[0] for row in rows}


@pytest.mark.parametrize(
    ("description", "described"), [("", False), (NO_DESCRIPTION, False), ("small nets", True)]
)
def test_the_page_is_told_whether_a_study_describes_itself(
    description: str, described: bool
) -> None:
    whole = evidence(runs_of(plain("little"), [90.0]), description=description)
    document = study_document(Snapshot(Path("made"), whole, analyse(whole)))
    assert (document["description"], document["described"]) == (description, described)


def test_a_run_of_several_roles_has_a_list_of_them() -> None:
    (run,) = runs_of(plain("little"), [90.0])
    ablation = Slot("ablation", None, "little", "none", ablation="hot", arm="base")
    run = replace(run, slots=(*run.slots, ablation, ablation))
    whole = evidence([run, replace(run, id="b", slots=())])
    document = runs_document(Snapshot(Path("made"), whole, analyse(whole)))
    roles = [row[document["columns"].index("roles")] for row in document["rows"]]
    assert roles == [["baseline", "ablation"], []]


def test_any_two_arms_are_compared_by_welchs_test(path: Path) -> None:
    snapshot = take(path)
    roles = [arm.slot.role for arm in snapshot.arms]
    first, second = roles.index("final"), roles.index("baseline")
    (other,) = (o for o in compare_document(snapshot, first)["others"] if o["arm"] == second)
    expected = stats.ttest_ind(
        *(list(snapshot.arms[n].by_seed("best").values()) for n in (first, second)),
        equal_var=False,
    )
    assert other["p"] == pytest.approx(expected.pvalue)
    assert other["ci95"] == pytest.approx(list(expected.confidence_interval()))


@pytest.mark.parametrize("make", [arm_document, run_document, compare_document])
@pytest.mark.parametrize("number", [-1, 999])
def test_a_number_that_nothing_has_is_refused(path: Path, make: object, number: int) -> None:
    with pytest.raises(IndexError):
        make(take(path), number)  # type: ignore[operator]


def test_a_change_of_the_study_is_seen_and_an_unreadable_one_is_not(path: Path) -> None:
    watch = Watch(path)
    watch._cost = watch._looked = -1e9
    before = watch.look().version
    plan = json.loads((path / "plan.json").read_text())
    plan["notices"] = [{"code": "smoke-run", "text": "smoke run", "short": "smoke run"}]
    StudyDirectory(path).write("plan.json", plan)
    watch._looked = -1e9
    after = watch.look()
    assert after.version != before
    assert b"smoke run" in watch.document("study")
    (path / "plan.json").write_text("{")
    watch._looked = -1e9
    assert watch.look() is after


def test_a_study_that_did_not_change_is_read_once(path: Path) -> None:
    watch = Watch(path)
    first = watch.snapshot
    for _ in range(3):
        watch._looked = watch._cost = -1e9
        assert watch.look() is first
    left = next(iter(path.rglob("manifest.json")))
    content = left.read_bytes()
    left.unlink()
    watch = Watch(path)
    left.write_bytes(content)
    watch._looked = watch._cost = -1e9
    snapshot = watch.look()
    assert snapshot.version == first.version
    assert all(run.state == "done" for run in snapshot.evidence.runs)


def test_a_study_before_its_first_test_is_shown_without_verdicts(tmp_path: Path) -> None:
    path = study(tmp_path / "study", BASELINE, METHOD).path
    for manifest in path.rglob("manifest.json"):
        manifest.unlink()
    document = study_document(take(path))
    assert document["analysis"] is None
    assert document["reason"] == "no run has been tested yet"
    assert "done" not in document["states"]


def test_an_exported_page_holds_the_same_documents(path: Path, tmp_path: Path) -> None:
    snapshot = take(path)
    folder = tmp_path / "page"
    count = export_page(snapshot, folder).files
    assert count == sum(file.is_file() for file in folder.rglob("*"))
    for name, document in (
        ("study", study_document(snapshot)),
        ("runs", runs_document(snapshot)),
        ("run/0", run_document(snapshot, 0)),
        ("arm/0", arm_document(snapshot, 0)),
        ("compare/0", compare_document(snapshot, 0)),
    ):
        script = (folder / "page-1" / "data" / f"{name}.js").read_bytes()
        assert script == b"kdgap.receive(" + as_json(name) + b"," + as_json(document) + b");\n"
    page = (folder / "index.html").read_text()
    assert "Content-Security-Policy" in page
    for asked in re.findall(r'(?:src|href)="([^"#]+)"', page):
        assert (folder / asked).is_file()
    assert (folder / "README.md").read_text().startswith("---\ntitle: ")
    assert export_page(snapshot, folder).files == count  # an earlier export may be written over


def test_an_export_never_overwrites_something_else(path: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("notes")
    with pytest.raises(BadInputError, match="not empty and no exported page"):
        export_page(take(path), tmp_path / "mine")
    assert not (tmp_path / "mine" / MARK).exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInputError, match="is a file"):
        export_page(take(path), tmp_path / "file")


def test_arms_know_their_gain_their_baseline_and_their_teacher(path: Path) -> None:
    document = study_document(take(path))
    arms, gains = document["arms"], document["analysis"]["gains"]
    rows = [row[0] for row in runs_document(take(path))["rows"]]
    own = [arm for arm in arms if arm["gain"] is not None]
    assert len(own) == len(gains) > 0
    for arm in own:
        gain = gains[arm["gain"]]
        assert [rows[run] for run in arm["runs"]] == gain["runs"]
        assert [rows[run] for run in arms[arm["baseline"]]["runs"]] == gain["baseline_runs"]
        assert arm["mean"] == gain["mean_pp"]
    assert [arm["number"] for arm in arms] == list(range(len(arms)))


def test_a_claim_leads_to_the_arms_of_its_terms(path: Path) -> None:
    document = study_document(take(path))
    rows = [row[0] for row in runs_document(take(path))["rows"]]
    contrasts = document["analysis"]["contrasts"]
    assert len(document["claims"]) == len(contrasts) > 0
    for claim, contrast in zip(document["claims"], contrasts, strict=True):
        runs = [[rows[run] for run in document["arms"][number]["runs"]] for number in claim["arms"]]
        assert runs == [term["runs"] for term in contrast["terms"]]
        assert claim["reasons"]


@pytest.fixture
def pair() -> Snapshot:
    """A pair with its teacher, whose runs say how well they know each of two classes."""

    def classes(run: Run, number: int) -> Run:
        known = {"cat": 0.6 + 0.05 * (number % 5), "dog": 0.9 - 0.02 * (number % 3)}
        return but(run, test={"best": {**run.test["best"].document, "per_class_acc": known}})

    runs = runs_of(plain("little"), [90.0, 90.3, 90.1])
    runs += runs_of(final("big", "little", "logit"), [90.5, 90.2, 90.9], teacher="big-0")
    runs = [classes(run, number) for number, run in enumerate(runs)]
    for number in (0, 1):
        slot = Slot("teacher", None, "big", "none")
        runs += runs_of(slot, [95.0], configuration=f"other {number}", id=f"big-{number}")
    whole = evidence(runs)
    return Snapshot(Path("made"), whole, analyse(whole))


def test_classes_of_two_arms_are_compared_by_welchs_test(pair: Snapshot) -> None:
    roles = [arm.slot.role for arm in pair.arms]
    first, second = roles.index("final"), roles.index("baseline")
    (other,) = (o for o in compare_document(pair, first)["others"] if o["arm"] == second)
    assert other["classes"].keys() == {"cat", "dog"}
    for name, apart in other["classes"].items():
        sides = [
            [run.test["best"].by_class[name] for run in pair.arms[number].runs]
            for number in (first, second)
        ]
        expected = stats.ttest_ind(*sides, equal_var=False).confidence_interval()
        assert apart["ci95"] == pytest.approx([max(-1, expected.low), min(1, expected.high)])


def test_a_students_teacher_is_the_one_that_taught_it(pair: Snapshot) -> None:
    arms = study_document(pair)["arms"]
    (student,) = (arm for arm in arms if arm["role"] == "final")
    (teacher,) = student["teachers"]  # another of the same name taught nobody
    assert [pair.evidence.runs[run].id for run in arms[teacher]["runs"]] == ["big-0"]


def test_what_selection_tried_can_be_looked_at(pair: Snapshot) -> None:
    slot = Slot("selection", "big", "little", "logit", "alpha 0.3")
    tried = runs_of(slot, [89.0], parameters={"alpha": 0.3})
    snapshot = replace(pair, evidence=replace(pair.evidence, runs=(*pair.evidence.runs, *tried)))
    arm = study_document(snapshot)["arms"][-1]
    assert (arm["role"], arm["parameters"], arm["validation"]) == (
        "selection",
        {"alpha": 0.3},
        0.89,
    )
    assert arm_document(snapshot, arm["number"])["seeds"][0]["id"] == tried[0].id
    others = [other["arm"] for other in compare_document(snapshot, 0)["others"]]
    assert arm["number"] not in others


def test_students_are_blocked_where_their_teacher_failed() -> None:
    teacher = runs_of(Slot("teacher", None, "big", "none"), [None], id="big-0")
    waiting = runs_of(final("big", "little", "logit"), [None], teacher="big-0")
    blocked = _standing([*teacher, *(replace(run, state="new", remark="") for run in waiting)])[1]
    assert (blocked.state, blocked.remark) == ("blocked", "its teacher is failed")


def test_arms_that_share_runs_are_not_compared(pair: Snapshot) -> None:
    base = [run for run in pair.evidence.runs if run.has_role("baseline")]
    slot = Slot("ablation", None, "little", "none", "", "stem", "base")
    twice = [replace(run, slots=(*run.slots, slot)) for run in base]
    rest = [run for run in pair.evidence.runs if run not in base]
    snapshot = replace(pair, evidence=replace(pair.evidence, runs=(*twice, *rest)))
    roles = [arm.slot.role for arm in snapshot.arms]
    others = compare_document(snapshot, roles.index("baseline"))["others"]
    (same,) = (other for other in others if other["arm"] == roles.index("ablation"))
    assert (same["value"], same["shared"]) == (None, 3)


def test_slots_are_told_by_their_fields(pair: Snapshot) -> None:
    slots = [
        Slot("selection", "big", "little", "logit", "alpha 0.3"),
        Slot("ablation", "big", "little", "logit", "", "a: b", "changed"),
    ]
    more = [run for slot in slots for run in runs_of(slot, [89.0], id=slot.role)]
    snapshot = replace(pair, evidence=replace(pair.evidence, runs=(*pair.evidence.runs, *more)))
    arms, runs = study_document(snapshot)["arms"], runs_document(snapshot)
    for slot in slots:
        fields = asdict(slot)
        (arm,) = (arm for arm in arms if arm["role"] == slot.role)
        (number,) = arm["runs"]
        row = dict(zip(runs["columns"], runs["rows"][number], strict=True))
        assert fields.items() <= arm.items()
        assert row["roles"] == [slot.role]
        assert fields.items() <= {**row, "role": slot.role}.items()
        assert run_document(snapshot, number)["slots"] == [fields]


def test_a_gains_sentence_leaves_its_verdict_to_the_badge(path: Path) -> None:
    document = study_document(take(path))
    gains = document["analysis"]["gains"]
    assert len(document["gains"]) == len(gains) > 0
    for gain, own in zip(gains, document["gains"], strict=True):
        assert f"; {gain['verdict']}: " in gain["sentence"]
        assert own["sentence"] == gain["sentence"].replace(f"; {gain['verdict']}: ", "; ")
