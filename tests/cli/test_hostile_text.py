"""Text from elsewhere has no effect on a terminal, whatever command shows it.

An archive and a study of somebody else are walked through every command: names of files, folders,
classes, models and runs, and what a live file says, hold sequences that set the clipboard and the
title, turn text around, hide it, or fake a line. What is printed holds no such character.
"""

import json
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from kdgap import terminal
from kdgap.cli.app import app
from kdgap.errors import one_line
from kdgap.files import json_text, parse_json
from kdgap.study.workspace import open_study, start_study
from kdgap.text import shown
from tests.store.foreign_files import PLAIN, history, write

if TYPE_CHECKING:
    from subprocess import CompletedProcess

Command = Callable[..., "CompletedProcess[str]"]
pytestmark = pytest.mark.usefixtures("sketched")

HOSTILE = "a\x1b]0;owned\x07\x1b[31m\x9b2J\u202eb\u2066\u200bc\u2028d\x7f\re"
LINE = f"{HOSTILE}\nerror: nothing"
STUDY = {
    "name": "small",
    "data": {"name": "digits", "limit": 64},
    "models": {"big": {"name": "resnet8", "width": 0.25}, "s": {"name": "resnet8", "width": 0.125}},
    "recipe": {"epochs": 1, "batch_size": 32},
    "pairs": [{"teacher": "big", "student": "s"}],
    "methods": {"logit": {"alpha": 0.5, "temperature": 4.0}},
    "finals": {"seeds": [0, 1]},
}


def steers(sign: str) -> bool:
    """Whether a character may do more than be seen: controls, formats, separators, halves."""
    return sign not in "\n\t" and unicodedata.category(sign) in ("Cc", "Cf", "Cs", "Zl", "Zp")


@pytest.fixture
def archive(workdir: Path) -> Path:
    """Result files whose names and values are hostile, and some that cannot be read at all."""
    theirs = workdir / "theirs"
    kinds: dict[str, dict[str, Any]] = {
        "plain": {**PLAIN, "model": HOSTILE},
        "kd": {"model": HOSTILE, "teacher": HOSTILE, "flags": [LINE]},
        "own": {HOSTILE: LINE},
        "called": {"study_method": HOSTILE},
        "changed": {"study_ablation": LINE, "study_arm": HOSTILE},
    }
    for number, (kind, keys) in enumerate(kinds.items()):
        for seed in range(3):
            epochs = history(0.5 + number / 10 + seed / 100)
            write(theirs, f"final/{HOSTILE}/{kind}/seed{seed}", seed=seed, history=epochs, **keys)
    bad = theirs / "bad" / HOSTILE / "results.json"
    bad.parent.mkdir(parents=True)
    bad.write_bytes(b"{")
    return theirs


@pytest.fixture
def study(workdir: Path) -> Path:
    """A study whose files somebody wrote hostile text into, as far as it is still read."""
    (workdir / "study.yaml").write_text(json.dumps(STUDY))
    path = workdir / "st"
    start_study(open_study(workdir / "study.yaml", {}, path), lambda _: None)
    plan = json.loads((path / "plan.json").read_text())
    plan["study"]["name"] = plan["study"]["description"] = LINE
    plan["notices"] = [{"code": HOSTILE, "text": LINE, "short": HOSTILE}]
    for run in plan["runs"]:
        run["slots"][0]["student"] = HOSTILE
    (path / "plan.json").write_text(json.dumps(plan))
    first = path / plan["runs"][0]["path"]
    first.mkdir(parents=True)
    (first / "failure.json").write_text(json.dumps({"reason": LINE}))
    (path / "runs" / HOSTILE / HOSTILE).mkdir(parents=True)
    (path / "runs" / HOSTILE / HOSTILE / "run.json").write_text("{")
    (path / "live").mkdir()
    at = {"epoch": 1, "epochs": HOSTILE, "step": 1, "steps": 2}
    live = {"pid": HOSTILE, "host": LINE, "when": 4e9, "phase": LINE, "runs": {LINE: at}}
    (path / "live" / f"{HOSTILE}-1.json").write_text(json.dumps(live))
    return path


@pytest.fixture
def images(workdir: Path) -> Path:
    root = workdir / "images"
    for part in ("train", "test"):
        for name in (HOSTILE, "other\u202e"):
            (root / part / name).mkdir(parents=True)
            for number in range(2):
                pixels = np.full((8, 8, 3), 40 * number + 7 * len(name), dtype=np.uint8)
                Image.fromarray(pixels).save(root / part / name / f"{number}{HOSTILE}.png")
    paths = [path.relative_to(root) for path in sorted(root.rglob("*.png"))]
    rows = [f'"{path}","{path.parts[1]}","{path.parts[0]}"' for path in paths]
    (root / "labels.csv").write_text("\n".join(["path,label,split", *rows, rows[0]]), newline="")
    (root / "odd.csv").write_text(f'path,"{HOSTILE}"\n1,2\n', newline="")
    return root


WALK: dict[str, list[tuple[str, ...]]] = {
    "import": [
        ("{archive}", "--out", f"im{HOSTILE}"),
        ("{archive}", "--out", "im2"),
        ("{archive}", "--out", "im", "--json"),
    ],
    "analyze": [(f"im{HOSTILE}",), ("im", "--json"), ("{study}",)],
    "report": [("im",), ("{study}",)],
    "rank": [("im",), ("im", "--json"), ("{study}",), ("im", "--student", HOSTILE)],
    "explore": [("im", "--export", f"page{HOSTILE}"), ("{study}", "--export", "page2")],
    "export": [
        ("{study}", "--to", HOSTILE),
        (HOSTILE, "--to", "onnx"),
        ("{archive}/bad/" + HOSTILE + "/results.json", "--to", HOSTILE),
    ],
    "predict": [("{study}", HOSTILE), ("{archive}/bad/" + HOSTILE + "/results.json", "{images}")],
    "show": [("{study}",), (HOSTILE,)],
    "status": [("{study}",), ("{study}", "--json")],
    "verify": [("{study}",), ("{study}", "--json"), ("{study}", "--run", HOSTILE)],
    "distill": [
        ("--teacher", HOSTILE, "--student", HOSTILE, "--data", HOSTILE),
        ("--teacher", "resnet8", "--student", HOSTILE, "--data", "{images}"),
        ("--teacher", "resnet8", "--student", "resnet8", "--data", "{images}", "--set", HOSTILE),
    ],
    "plan": [("{study}",), ("study.yaml", "--set", f"description={json.dumps(HOSTILE)}")],
    "run": [("{study}", "--only", HOSTILE), (HOSTILE,)],
    "worker": [("{study}", "--only", HOSTILE, "--device", HOSTILE)],
    "clean": [("{study}", "--yes")],
    "train": [(HOSTILE,), ("study.yaml", "--set", f"{HOSTILE}=1")],
    "evaluate": [(HOSTILE,), ("{study}",), (HOSTILE, "--data", HOSTILE)],
    "convert": [
        ("{archive}/bad/" + HOSTILE + "/results.json", "--model", "resnet8"),
        ("{archive}/bad/" + HOSTILE + "/results.json",),
        (HOSTILE, "--model", "resnet8", "--argument", f"{HOSTILE}=1"),
    ],
    "data": [
        ("imagefolder", "--data-root", "{images}", "--image-size", "8"),
        ("imagefolder", "--data-root", "{images}", "--image-size", "8", "--json"),
        (HOSTILE,),
        ("manifest", "--data-root", "{images}/labels.csv"),
        ("manifest", "--data-root", "{images}/labels.csv", "--image-size", "8", "--json"),
        ("manifest", "--data-root", "{images}/odd.csv"),
    ],
    "models": [
        *(("--classes", HOSTILE), (HOSTILE,), (f"torchvision:{HOSTILE}",), (f"a:{HOSTILE}",)),
        ("resnet8", "--set", f"{HOSTILE}=1"),
        ("wrn_16_1", "--set", f"dropout={json.dumps(HOSTILE)}"),
        ("wrn_16_1", "--arguments", f"{{{json.dumps({HOSTILE: LINE})}}}"),
    ],
    "methods": [(HOSTILE,)],
    "presets": [()],
    "bench": [(HOSTILE,), ("--precision", HOSTILE)],
    "env": [("--device", HOSTILE)],
}


def silent(done: "CompletedProcess[str]") -> None:
    for text in (done.stdout, done.stderr):
        steering = sorted({hex(ord(sign)) for sign in text if steers(sign)})
        assert steering == [], (done.args[:2], done.returncode, steering)
        assert not any(line.startswith("error: nothing") for line in text.splitlines())
    assert "Traceback" not in done.stderr


def test_the_walk_knows_every_command() -> None:
    assert set(WALK) == {command.name for command in app.registered_commands}


def test_no_command_lets_text_from_elsewhere_steer_the_terminal(
    kdgap: Command, archive: Path, study: Path, images: Path
) -> None:
    shown = ""
    for name, calls in WALK.items():
        for words in calls:
            given = [w.format(archive=archive, study=study, images=images) for w in words]
            done = kdgap(name, *given)
            silent(done)
            shown += done.stdout + done.stderr
            if "--json" in words and done.stdout:
                json.loads(done.stdout)
        silent(kdgap(name, f"--{HOSTILE}", LINE))  # what typer itself says of it
    # It is shown, as escapes: nobody is kept from seeing what they were given.
    assert "\\x1b" in shown
    assert "\\u202e" in shown


def test_the_references_commands_are_as_safe(
    kdgap: Command, train_script: Command, eval_script: Command, archive: Path
) -> None:
    for script in (train_script, eval_script):
        silent(script(f"--{HOSTILE}", LINE))
    silent(train_script("--config", HOSTILE))


def test_json_holds_the_same_value(kdgap: Command, images: Path) -> None:
    words = ("data", "imagefolder", "--data-root", images, "--image-size", 8, "--json")
    assert set(json.loads(kdgap(*words).stdout)["classes"]) == {HOSTILE, "other\u202e"}


def test_files_that_are_looked_at_are_as_safe(kdgap: Command, archive: Path) -> None:
    kdgap("import", archive, "--out", "im")
    done = kdgap("analyze", "im")
    assert done.returncode == 0, done
    files = [*Path("im").glob("*.json*"), *Path("im/analysis").iterdir()]
    assert {"import.json", "analysis.json", "runs.csv", "tables.md"} <= {f.name for f in files}
    for path in files:
        text = path.read_text()
        assert (path.name, [hex(ord(sign)) for sign in text if steers(sign)]) == (path.name, [])


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("plain – text → 1", "plain – text → 1"),
        ("\x1b[31m", "\\x1b[31m"),
        ("\x9b2J", "\\x9b2J"),
        ("\u202eabc", "\\u202eabc"),
        ("\ud800", "\\ud800"),
        ("\U000e0041", "\\U000e0041"),
        ("a\u200db", "a\\u200db"),
        ("two\nlines\tand a tab", "two\nlines\tand a tab"),
    ],
)
def test_what_has_an_effect_is_shown_as_an_escape(given: str, shown: str) -> None:
    assert terminal.visible(given) == shown


def test_one_line_is_one_line_by_one_rule() -> None:
    given = "a\nb\tc \x1b[31m\u202e猫"
    assert terminal.visible(given, one_line=True) == "a\\nb\\tc \\x1b[31m\\u202e猫"
    assert one_line(given) == "a b c \\x1b[31m\\u202e猫"
    assert shown(f"{given}\udcff") == "a\\nb\\tc \\x1b[31m\\u202e猫\\xff"
    assert one_line("x" * 20, 10) == "x" * 9 + "…"


def test_no_character_that_steers_is_forgotten() -> None:
    """Number signs of Arabic script are of the category Cf, too, but are seen as what they are."""
    seen = {*range(0x600, 0x606), 0x6DD, 0x70F, 0x890, 0x891, 0x8E2}
    for code in range(0x110000):
        sign = chr(code)
        if steers(sign) and code not in seen:
            assert terminal.HIDDEN.match(sign), hex(code)
        elif terminal.HIDDEN.match(sign):
            # What this Python's Unicode does not know yet lies between what it knows.
            assert unicodedata.category(sign) == "Cn", hex(code)


@pytest.mark.parametrize(
    "sign", ["\x1b", "\x7f", "\x9b", "\u202e", "\u2028", "\ud800", "\U000e0041"]
)
def test_json_escapes_it_and_means_the_same(sign: str) -> None:
    text = json_text({f"k{sign}": [f"“{sign}”"]})
    assert not any(steers(letter) for letter in text)
    text.encode()
    assert parse_json(text) == {f"k{sign}": [f"“{sign}”"]}
