"""Whatever a file of others holds, it is named, and the other files stay: one gate for all."""

import json
import math
import os
from pathlib import Path
from typing import Any

import pytest

from kdgap.judge.imported_evidence import evidence_of, imported_evidence
from kdgap.store.imports.directory import ImportedDirectory
from kdgap.store.imports.gate import LARGEST, OddFileError, is_number, read_object, whole
from kdgap.store.imports.imported import import_runs
from tests.judge.builders import analyse
from tests.store.foreign_files import FIDELITY, FINAL, findings, history, write, write_pair

ODD = f"{FINAL}/results.json"
HUGE = 10**400


def imported(folder: Path, change: Any, file: str = ODD) -> tuple[dict[str, Any], Any]:
    """Import a pair of three seeds a side, one file of which was changed, by way of the disk.

    Returns:
        What the import found, and the one gain.
    """
    write_pair(folder / "theirs")
    path = folder / "theirs" / file
    if callable(change):
        content = json.loads(path.read_text())
        change(content)
        path.write_text(json.dumps(content))
    else:
        old, new = change
        path.write_text(path.read_text().replace(old, new, 1))
    out = ImportedDirectory(folder / "out")
    out.write(*import_runs(folder / "theirs", "x"))
    evidence = imported_evidence(out)
    (gain,) = (g for g in analyse(evidence).gains if g.seeds[0] != (0,))
    return out.read()[0], gain


def put(key: str, value: Any) -> Any:
    return lambda content: content.update({key: value})


def put_each(key: str, value: Any) -> Any:
    return lambda content: [entry.update({key: value}) for entry in content["history"]]


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("model", "", "no name"),
        ("model", "\ud800", "no Unicode"),
        ("kd_type", " ", "no name"),
        ("teacher", "", "logit without a teacher"),
        ("teacher", ["a"], "no text"),
        ("seed", 10**30, "no whole number"),
        ("seed", "1" * 30, "no whole number"),
        ("epochs", -1, "no number of epochs"),
        ("epochs", 10**18, "no number of epochs"),
        ("alpha", HUGE, "alpha is inf, no number"),
        ("alpha", "0.5", "alpha is '0.5', no number"),
        ("temperature", [4], "no number"),
        ("width", "abc", "no number above zero"),
        ("width", [1], "no number above zero"),
        ("width", 0, "no number above zero"),
        ("stem", [1], "no text"),
        ("data", ["x"], "no text"),
        ("no_proj_clip", "yes", "no truth value"),
        ("lr", HUGE, "lr holds a number that is not finite"),
        ("lr", math.nan, "lr holds a number that is not finite"),
        ("method_parameters", {"beta": [math.inf]}, "not finite"),
        ("new", json.loads("[" * 40 + "]" * 40), "nested too deeply"),
        ("test_acc_best", True, "no share of one"),
    ],
)
def test_a_file_that_does_not_say_which_run_it_is_holds_no_result(
    tmp_path: Path, key: str, value: Any, words: str
) -> None:
    about, gain = imported(tmp_path, put(key, value))
    (text,) = (f["text"] for f in findings(about, "unreadable") if f["paths"] == [ODD])
    assert words in text
    assert gain.n == 2
    assert any(flag.code == "missing-runs" for flag in gain.flags)


def test_a_number_too_large_for_a_float_is_read_as_infinite(tmp_path: Path) -> None:
    about, gain = imported(tmp_path, ('"stem"', '"lr": 1e999, "stem"'))
    assert "lr holds a number" in findings(about, "unreadable")[0]["text"]
    assert gain.n == 2


def test_a_key_that_stands_twice_is_named(tmp_path: Path) -> None:
    about, gain = imported(tmp_path, ('"seed": 0', '"seed": 0, "seed": 1'))
    assert findings(about, "unreadable")[0]["text"] == "holds seed twice"
    assert gain.n == 2


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (put("grad_norm_max_overall", HUGE), "not finite"),
        (put("last_val_acc", math.inf), "not finite"),
        (put_each("loss_ce", HUGE), "diverged: epoch 1"),
        (put_each("loss_ce", None), "diverged: epoch 1"),
        (put_each("loss_new", 2 * LARGEST), "diverged: epoch 1"),
        (put_each("train_acc", None), "diverged: epoch 1"),
        (put_each("val_acc", 1e308), "diverged: epoch 1"),
        (put_each("grad_norm_max", -math.inf), "not finite"),
        (put_each("term_grad_norm", {"ce": math.nan, "kd": 1.0}), "not finite"),
        (('"loss_kd": 0.2', '"loss_kd": 1e999'), "diverged: epoch 1"),
        (('"loss_kd": 0.2', '"loss_kd": 0.2, "grad_norm_max": 1e999'), "not finite"),
    ],
)
def test_a_run_with_numbers_that_are_not_finite_failed(
    tmp_path: Path, change: Any, words: str
) -> None:
    about, gain = imported(tmp_path, change)
    (finding,) = findings(about, "failed")
    assert words in finding["text"]
    assert gain.n == 2


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (put("flags", 5), "flags is 5, no list of texts"),
        (put("flags", "abc"), "no list of texts"),
        (put("flags", [1, "smoke"]), "no list of texts"),
        (put("role", []), "role is [], no text"),
        (put("role", {}), "role is {}, no text"),
        (put("run_id", ["a"]), "no text"),
        (put("width", None), "width is null"),
        (put("best_val_epoch", "x"), "no epoch"),
        (put("proj_grad_norm_max_overall", "x"), "no number"),
        (put_each("epoch", None), "has epoch None"),
        (put_each("epoch", [1]), "has epoch [1]"),
        (put_each("epoch", -1), "has epoch -1"),
        (put_each("epoch", 1.5), "has epoch 1.5"),
        (put_each("term_grad_norm", [1, 2]), "has term_grad_norm [1, 2]"),
        (put_each("term_grad_norm", "abc"), "has term_grad_norm 'abc'"),
        (put_each("term_grad_norm", {"ce": None, "kd": 1.0}), "has term_grad_norm {"),
        (put_each("term_grad_norm", {"ce": "x", "kd": 1.0}), "has term_grad_norm {"),
        (put_each("term_grad_norm", {"ce": -0.5, "kd": 1.0}), "has term_grad_norm {"),
        (put_each("teacher_entropy", "x"), "has teacher_entropy 'x'"),
        (put_each("grad_norm_max", -1), "has grad_norm_max -1"),
        (put_each("loss_ce", "0.4"), "has loss_ce '0.4'"),
        (put_each("loss_ce", True), "has loss_ce True"),
        (put_each("train_acc", 99.5), "has train_acc 99.5"),
        (put_each("val_acc", 95.2), "lacks validation accuracies"),
        (put("epochs", 2), "its history has 3 epochs, but epochs is 2"),
    ],
)
def test_what_is_no_number_is_dropped_and_named(tmp_path: Path, change: Any, words: str) -> None:
    about, gain = imported(tmp_path, change)
    texts = [f["text"] for f in findings(about, "contradiction") if f["paths"] == [ODD]]
    assert any(words in text for text in texts)
    assert gain.n == (2 if words.startswith("its history has") else 3)


def test_only_numbers_are_left_of_a_history(tmp_path: Path) -> None:
    mixed = [
        entry | {"epoch": 1.0 * entry["epoch"], "at": "12:30", "grad_norm_max": None, "lr": 0.1}
        | {"term_grad_norm": {"ce": 1.0, "kd": "x"}}
        for entry in history()
    ]  # fmt: skip
    write(tmp_path, FINAL, history=mixed)
    about, (run,) = import_runs(tmp_path, "x")
    assert run["history"] == [
        entry | {"lr": 0.1, "term_grad_norm": {"ce": 1.0}} for entry in history()
    ]
    # A date and a norm that was not recorded contradict nothing.
    (finding,) = findings(about, "contradiction")
    assert "term_grad_norm" in finding["text"]


def test_flags_that_are_texts_stay(tmp_path: Path) -> None:
    write(tmp_path, FINAL, flags=["smoke run", 7])
    _, (run,) = import_runs(tmp_path, "x")
    assert run["flags"] == ["smoke run"]


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("kl_t1", 1e200, "kl_t1 is 1e+200, no divergence"),
        ("kl_t1", HUGE, "not finite"),
        ("kl_t4", True, "no divergence"),
        ("kl_t4", -1, "no divergence"),
        ("ece", "x", "no share of one"),
        ("top1_agreement", True, "no share of one"),
        ("per_class_acc", [0.5], "shares of one"),
        ("per_class_acc", {"cat": "x"}, "shares of one"),
        ("baseline", json.loads("[" * 40 + "]" * 40), "nested too deeply"),
    ],
)
def test_fidelity_that_cannot_be_is_left_out_and_the_run_stays(
    tmp_path: Path, key: str, value: Any, words: str
) -> None:
    about, gain = imported(tmp_path, put(key, value), f"{FINAL}/fidelity.json")
    assert words in findings(about, "unreadable")[0]["text"]
    assert gain.n == 3
    assert gain.fidelity.top1_agreement.n == 2


@pytest.mark.parametrize("classes", [{"cat": 0.5}, {"cat": None}, {}, {"": 0.5}])
def test_a_single_measured_class_is_no_measure_of_soft_targets(
    tmp_path: Path, classes: dict[str, Any]
) -> None:
    write_pair(tmp_path)
    for path in sorted((tmp_path / FINAL).parent.rglob("*.json")):
        content = json.loads(path.read_text())
        if path.name == "fidelity.json":
            content["per_class_acc"] = classes
        else:
            put_each("teacher_entropy", 1.0)(content)
        path.write_text(json.dumps(content))
    (gain,) = analyse(evidence_of(*import_runs(tmp_path, "x"), "x")).gains
    (fact,) = (fact for fact in gain.diagnosis if fact.topic == "soft targets")
    assert "1.000 nats" in fact.fact
    assert "classes allow" not in fact.fact


@pytest.mark.parametrize("separator", ["\u2028", "\x85", "\x1e", "\x0b"])
def test_a_line_separator_in_a_name_breaks_no_line(tmp_path: Path, separator: str) -> None:
    write(tmp_path / "theirs", FINAL, model=f"a{separator}b")
    out = ImportedDirectory(tmp_path / "out")
    out.write(*import_runs(tmp_path / "theirs", "x"))
    (run,) = out.read()[1]
    assert run["settings"]["model"] == f"a{separator}b"


def test_a_path_that_is_no_text_is_written_as_text(tmp_path: Path) -> None:
    path = write(tmp_path / "theirs", FINAL, fidelity=FIDELITY)
    source = tmp_path / os.fsdecode(b"\xff")
    target = source / "final" / "a"
    target.mkdir(parents=True)
    for name in ("results.json", "fidelity.json"):
        (path.parent / name).rename(target / name)
    for base in (source, tmp_path):
        out = ImportedDirectory(tmp_path / "out")
        about, (run,) = import_runs(base, base.name)
        out.write(about, [run])
        assert run["fidelity"] is not None
    assert run["paths"] == ["\\xff/final/a/results.json"]


@pytest.mark.parametrize(
    ("value", "number", "as_whole"),
    [
        (4, True, 4), (4.0, True, 4), (-0.0, True, 0), (2**64 - 1, True, 2**64 - 1),
        (2**64, True, None), (-(2**63) - 2**12, True, None), (0.5, True, None),
        (LARGEST, True, None), (2 * LARGEST, False, None), (-2 * LARGEST, False, None),
        (math.inf, False, None), (math.nan, False, None), (True, False, None), ("4", False, None),
        (None, False, None), ([4], False, None),
    ],
)  # fmt: skip
def test_what_is_a_number(value: Any, number: bool, as_whole: int | None) -> None:
    assert is_number(value) is number
    assert whole(value) == as_whole


def test_a_pair_of_surrogates_is_a_character_and_half_a_pair_is_not() -> None:
    assert read_object(b'{"a": "\\ud83d\\ude00"}') == {"a": "\U0001f600"}
    with pytest.raises(OddFileError, match="no Unicode"):
        read_object(b'{"a": {"\\uDE00": 1}}')
