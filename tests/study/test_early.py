"""What can be refused without torch is, and has not loaded it."""

import json
import subprocess
import sys
from pathlib import Path

from kdgap import yamlio
from kdgap.methods import hyperparameter_names
from kdgap.planning.early import check_flat, check_study
from kdgap.spec.flat import read_flat
from kdgap.spec.study_file import read_study

RUN = "model: resnet8\ndata: digits\n"
STUDY = """\
name: tiny
data: {name: digits}
models: {t: {name: resnet8}, s: {name: resnet8}}
pairs: [{teacher: t, student: s}]
methods: {logit: {alpha: 0.5, temperature: 4}}
"""
FLAT = {
    "unknown key": "epoch: 3\n",
    "unknown hyper-parameter": "kd_type: logit\nalhpa: 0.5\n",
    "unknown data": "data: cifar11\n",
    "unknown method": "kd_type: logits\n",
    "no model": None,
    "no number": "lr: fast\n",
    "alpha": "kd_type: logit\nalpha: 1.5\n",
    "another method's": "kd_type: none\ntemperature: 0\n",
    "scale": "kd_type: feature\nfeat_norm: student\n",
    "epochs": "epochs: 0\n",
    "lr": "lr: -1\n",
    "momentum": "momentum: 0\n",
    "clip": "clip_norm: 0\n",
    "val_size": "val_size: 0\n",
    "limit": "limit: 1\n",
    "image_size": "image_size: 2\n",
    "threads": "threads: 0\n",
    "width": "width: -1\n",
    "twice": "data: digits\ndata: digits\n",
    "path": "data_root: $SCRATCH\n",
    "not YAML": "a: [\n",
}
STUDIES = {
    "unknown key": ("name: tiny", "nam: tiny"),
    "unknown data": ("name: digits", "name: digit"),
    "unknown model": ("t: {name: resnet8}", "t: {name: resnet9}"),
    "unknown method": ("logit: {", "logits: {"),
    "unknown hyper-parameter": ("temperature", "temprature"),
    "range": ("alpha: 0.5", "alpha: -0.5"),
    "second of a grid": ("alpha: 0.5", "alpha: [0.5, 2]"),
    "pair": ("student: s", "student: x"),
    "recipe": ("pairs:", "recipe: {epochs: 0}\npairs:"),
    "recipe's key": ("pairs:", "recipe: {epoch: 1}\npairs:"),
    "teachers' recipe": ("pairs:", "teachers: {recipe: {momentum: 0}}\npairs:"),
    "path": ("name: digits", "name: digits, root: 'https://data'"),
}
PROBE = """\
import json, sys
from kdgap.cli import run
from kdgap.cli.app import app
for words in json.loads(sys.argv[1]):
    sys.argv = ["kdgap", *words]
    try:
        run(app)
    except SystemExit as ended:
        print(ended.code, "torch" in sys.modules, flush=True)
"""


def test_a_teachers_recipe_is_checked_as_what_differs_from_the_studys() -> None:
    both = "recipe: {nesterov: false}\nteachers: {recipe: {momentum: 0}}\npairs:"
    text = STUDY.replace("pairs:", both)
    check_study(*read_study(yamlio.parse(text, "study.yaml"), {}))


def test_what_does_not_apply_is_not_refused() -> None:
    text = RUN + "clip_scope: 'off'\nclip_norm: 0\n"
    check_flat(*read_flat(yamlio.parse(text, "run.yaml"), {}, hyperparameter_names()))


def test_what_is_refused_has_not_imported_torch(tmp_path: Path) -> None:
    commands, texts = [], []
    for what, more in FLAT.items():
        text = "data: digits\n" if more is None else RUN + more
        if what == "unknown data":
            text = "model: resnet8\n" + str(more)
        commands.append(["train", _written(tmp_path, text)])
        texts.append(what)
    for what, (old, new) in STUDIES.items():
        assert old in STUDY
        for command in ("run", "plan"):
            commands.append([command, _written(tmp_path, STUDY.replace(old, new, 1))])
            texts.append(what)
    good = _written(tmp_path, STUDY)
    commands += [["plan", good, "--set", "recipe.lr=0"], ["run", good, "--set", "data.name=x"]]
    commands += [["train", _written(tmp_path, RUN), "--set", "alpha=7"]]
    done = subprocess.run(
        [sys.executable, "-c", PROBE, json.dumps(commands)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    lines = done.stdout.splitlines()
    assert lines == ["2 False"] * len(commands), list(zip(texts, lines, strict=False))
    assert len(done.stderr.splitlines()) == len(commands)
    assert done.stderr.count("error: ") == len(commands)


def _written(folder: Path, text: str) -> str:
    path = folder / f"{len(list(folder.iterdir()))}.yaml"
    path.write_text(text)
    return str(path)
