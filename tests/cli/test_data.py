"""`kdgap data` on a folder of images, and what a run on it says of what was left out."""

import io
import json
import re
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from PIL import Image

if TYPE_CHECKING:
    from subprocess import CompletedProcess

Command = Callable[..., "CompletedProcess[str]"]
Config = Callable[..., Path]
Refused = Callable[..., str]


@pytest.fixture
def flowers(workdir: Path) -> Path:
    """Two classes; a hidden folder, a text and a `val/` beside `test/` are left out."""
    for part, label, number in [
        (p, c, i) for p in ("train", "test", "val") for c in "ab" for i in "123"
    ]:
        path = workdir / "flowers" / part / label / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (12, 12), (int(number), 0, 90)).save(path)
    hidden = workdir / "flowers" / "train" / "a" / ".ipynb_checkpoints"
    hidden.mkdir()
    (hidden / "1-checkpoint.png").touch()
    (workdir / "flowers" / "test" / "b" / "read.me").write_text("no image")
    return workdir / "flowers"


LEFT_OUT = [
    ("not an image of a format that is read", "test/b/read.me"),
    ("the name begins with a dot", "train/a/.ipynb_checkpoints/"),
    ("validation images are taken from train/, not from val/", "val/"),
]
RECORD = [{"reason": reason, "count": 1, "names": [name]} for reason, name in LEFT_OUT]


@pytest.mark.usefixtures("flowers")
def test_data_counts_and_names_what_it_left_out(kdgap: Command) -> None:
    words = ("data", "imagefolder", "--data-root", "flowers", "--image-size", 8)
    about = json.loads(kdgap(*words, "--json").stdout)
    assert about["left_out"] == RECORD
    assert (about["train"], about["test"]) == (6, 6)
    shown = kdgap(*words).stdout
    for reason, name in LEFT_OUT:
        assert reason in shown
        assert name in shown
    assert re.search(r"left out\W+3\b", shown)


@pytest.mark.usefixtures("flowers")
def test_data_shows_its_rules(kdgap: Command) -> None:
    shown = kdgap("data", "imagefolder", "--data-root", "flowers", "--image-size", 8).stdout
    assert "names that begin with a dot" in shown
    assert "laid on white" in shown


def test_data_names_every_file_as_json(kdgap: Command, flowers: Path) -> None:
    for number in range(50):
        (flowers / f"{number:02}.txt").touch()
    words = ("data", "imagefolder", "--data-root", "flowers", "--image-size", 8, "--json")
    (beside,) = [x for x in json.loads(kdgap(*words).stdout)["left_out"] if x["count"] == 50]
    assert beside["names"] == [f"{number:02}.txt" for number in range(50)]


def test_a_data_set_that_lists_no_files_leaves_none_out(kdgap: Command) -> None:
    assert "left_out" not in json.loads(kdgap("data", "digits", "--json").stdout)


@pytest.mark.usefixtures("flowers")
def test_a_run_says_and_records_what_was_left_out(
    kdgap: Command, config: Config, workdir: Path
) -> None:
    keys = {"data": "imagefolder", "data_root": "flowers", "image_size": 8, "val_size": 2}
    for name in ("first", "from the cache"):
        done = kdgap("train", config(**keys, batch_size=2, output_dir=name))
        assert done.returncode == 0, done
        remarks = [line for line in done.stderr.splitlines() if line.startswith("left out of")]
        assert len(remarks) == 1
        assert all(name in remarks[0] for _, name in LEFT_OUT)
        assert json.loads((workdir / name / "run.json").read_text())["data"]["left_out"] == RECORD


def test_what_is_left_out_does_not_hide_an_error(
    kdgap: Command, refused: Refused, config: Config, flowers: Path
) -> None:
    (flowers / "train" / "a" / "2.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n")
    keys = {"data": "imagefolder", "data_root": "flowers", "image_size": 8, "val_size": 2}
    assert refused(lambda *w: kdgap("train", *w), config(**keys)).startswith(
        "flowers/train/a/2.png: "
    )


def test_a_run_on_other_data_records_nothing_of_the_sort(
    kdgap: Command, config: Config, workdir: Path
) -> None:
    assert kdgap("train", config(output_dir="run", limit=64)).returncode == 0
    assert "left_out" not in json.loads((workdir / "run" / "run.json").read_text())["data"]


@pytest.mark.usefixtures("flowers")
def test_a_folder_too_small_for_the_usual_validation_is_told_what_works(
    kdgap: Command, config: Config
) -> None:
    words = ("data", "imagefolder", "--data-root", "flowers", "--image-size", 8)
    (note,) = [x for x in kdgap(*words).stderr.splitlines() if "validation images" in x]
    match = re.search(r"give val_size: (\d+)", note)
    assert match is not None
    keys = {"data": "imagefolder", "data_root": "flowers", "image_size": 8, "batch_size": 2}
    done = kdgap("train", config(**keys, output_dir="usual"))
    assert done.returncode == 2
    assert f"give a smaller val_size, such as {match[1]} " in done.stderr
    assert kdgap("train", config(**keys, val_size=int(match[1]))).returncode == 0
    assert "validation images" not in kdgap("data", "digits").stderr


def test_bad_images_are_named_together(kdgap: Command, flowers: Path, refused: Refused) -> None:
    words = ("data", "imagefolder", "--data-root", "flowers", "--image-size", 8)
    (flowers / "test" / "a" / "1.png").write_text("no image")
    error = refused(kdgap, *words)
    assert error.startswith("flowers/test/a/1.png: cannot be read: its content is not PNG")
    assert error.endswith(
        "; repair, convert or remove it, or set skip_broken: true (data: --skip-broken)"
    )
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
    for number in range(12):
        name = flowers / "train" / "b" / f"{number:02}-of-a-name-as-long-as-cameras-give-them.jpg"
        name.write_text(pointer if number else "<!DOCTYPE html><html>Sign in</html>")
    error = refused(kdgap, *words)
    assert error.startswith("13 images cannot be used: flowers/train/b/00-")
    assert "00-of-a-name-as-long-as-cameras-give-them.jpg: is a web page: download" in error
    assert "09-of-a-name-as-long-as-cameras-give-them.jpg: is a Git LFS pointer: `git" in error
    assert "/10-" not in error
    assert "and 3 more; repair, convert or remove them" in error


def test_a_tar_that_is_cut_short_is_bad_input(kdgap: Command, workdir: Path) -> None:
    path = workdir / "train-000000.tar"
    with tarfile.open(path, "w") as tar:
        for suffix in ("png", "cls"):
            member = tarfile.TarInfo(f"0.{suffix}")
            member.size = 1
            tar.addfile(member, io.BytesIO(b"1"))
    path.write_bytes(path.read_bytes()[:2048])
    done = kdgap("data", "webdataset", "--data-root", ".")
    assert (done.returncode, done.stdout) == (2, "")
    assert "train-000000.tar: cut short after 2 members" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
