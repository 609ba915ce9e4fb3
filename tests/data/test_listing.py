"""Every file of a folder of images is in the set, or counted and named as left out, or an error."""

import errno
import os
import socket
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torchvision.datasets.folder import IMG_EXTENSIONS, find_classes, make_dataset

from kdgap import disk
from kdgap.data import Dataset, Request, listing, load_dataset
from kdgap.data.listing import Listing, remark
from kdgap.data.pixels import is_image
from kdgap.errors import BadInputError
from kdgap.text import shown

SIDE = 8


def put(path: Path, seed: int = 0, form: str | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path, form)
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two classes of two training images and one test image."""
    for label, name in enumerate(("ant", "bee")):
        for number in (1, 2):
            put(tmp_path / "set" / "train" / name / f"{number}.png", 10 * label + number)
        put(tmp_path / "set" / "test" / name / "1.png", 10 * label + 3)
    return tmp_path / "set"


def load(root: Path) -> Dataset:
    return load_dataset("imagefolder", Request(root, SIDE))


def left(root: Path, images: int = 4) -> dict[str, list[str]]:
    """What was left out, by reason; the classes and the number of training images are as given."""
    dataset = load(root)
    assert dataset.classes == ("ant", "bee")
    assert len(dataset.train) == images
    assert dataset.left_out is not None
    return {part.reason: list(part.names) for part in dataset.left_out}


def refusal(root: Path) -> str:
    with pytest.raises(BadInputError) as caught:
        load(root)
    message = str(caught.value)
    assert message.isprintable()
    return message


def test_a_tidy_folder_leaves_nothing_out(root: Path) -> None:
    assert left(root) == {}


# --- names


@pytest.mark.parametrize(
    "name",
    [
        ".ipynb_checkpoints/1-checkpoint.png",
        ".hidden.png",
        "._1.png",
        ".DS_Store",
        ".git/objects/aa/1.png",
        ".png",
    ],
)
@pytest.mark.parametrize("folder", ["train/ant", "train", "test/bee", "", "train/ant/nested"])
def test_names_that_begin_with_a_dot_are_left_out(folder: str, name: str, root: Path) -> None:
    put(root / folder / name, form="PNG")
    top = name.partition("/")[0]
    expected = f"{folder}/{top}".lstrip("/") + ("/" if "/" in name else "")
    assert left(root) == {listing.HIDDEN: [expected]}


@pytest.mark.parametrize(
    "name",
    [
        "__MACOSX/ant/1.png",
        "Thumbs.db",
        "THUMBS.DB",
        "desktop.ini",
        "@eaDir/1.png/thumb.jpg",
        "Icon\r",
        "$RECYCLE.BIN/1.png",
        "lost+found/1.png",
        "System Volume Information/x.png",
    ],
)
@pytest.mark.parametrize("folder", ["train/ant", "test", ""])
def test_what_systems_leave_behind_is_left_out(folder: str, name: str, root: Path) -> None:
    put(root / folder / name, form="PNG")
    assert list(left(root)) == [listing.SYSTEM]


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("a.jfif", "JPEG"),
        ("a.gif", "GIF"),
        ("a", "PNG"),
        ("a.JPE", "JPEG"),
        ("a.txt", "WEBP"),
        ("a.pbm", "PPM"),
        ("a.png", "JPEG"),
        ("a.tiff.bak", "TIFF"),
        ("a b.c d", "BMP"),
    ],
)
def test_an_image_is_one_whatever_its_name_ends_in(name: str, form: str, root: Path) -> None:
    put(root / "train" / "ant" / name, form=form)
    assert left(root, images=5) == {}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("notes.txt", b"no image"),
        ("a.eps", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"),
        ("a.svg", b"<svg/>"),
        ("a.avif", b"\0\0\0\x20ftypavif\0\0\0\0avifmif1miaf"),
        ("a.heic", b"\0\0\0\x20ftypheic\0\0\0\0"),
        ("empty", b""),
        ("BMW.txt", b"BM is how this text begins, and a BMP file too"),
        ("P5.txt", b"P5 is how this text begins, and a PGM file too"),
    ],
)
def test_a_file_that_is_no_image_is_named(name: str, content: bytes, root: Path) -> None:
    (root / "train" / "ant" / name).write_bytes(content)
    assert left(root) == {listing.NO_IMAGE: [f"train/ant/{name}"]}


def test_what_is_beside_the_classes_and_the_parts_is_named(root: Path) -> None:
    put(root / "train" / "loose.png")
    (root / "labels.csv").touch()
    put(root / "validation" / "ant" / "1.png")
    assert left(root) == {
        listing.UNCLASSED: ["train/loose.png"],
        listing.BESIDE: ["labels.csv", "validation/"],
    }


def test_a_val_beside_test_is_named_as_not_used(root: Path) -> None:
    put(root / "val" / "ant" / "1.png")
    assert left(root) == {listing.VALIDATION: ["val/"]}
    left_out = load(root).left_out
    assert left_out is not None
    assert "val/" in remark(left_out)


def test_a_val_in_the_place_of_test_is_used(root: Path) -> None:
    (root / "test").rename(root / "val")
    assert left(root) == {}


# --- bytes that are no text


any_bytes = pytest.mark.skipif(sys.platform == "darwin", reason="its names are UTF-8 always")
ODD = os.fsdecode(b"na\xefve\n.png")


@any_bytes
def test_a_file_whose_name_is_not_utf8_is_an_image_as_any(root: Path) -> None:
    put(root / "train" / "ant" / ODD)
    assert left(root, images=5) == {}
    assert load(root).fingerprint == load(root).fingerprint  # from the cache


@any_bytes
def test_names_are_shown_in_printable_form(root: Path) -> None:
    (root / "train" / "ant" / os.fsdecode(b"\xff\x1b[2J\n.txt")).touch()
    assert left(root) == {listing.NO_IMAGE: ["train/ant/\\xff\\x1b[2J\\n.txt"]}
    (root / "train" / "ant" / ODD).write_bytes(b"no image")
    assert "na\\xefve\\n.png: " in refusal(root)


@any_bytes
def test_a_class_whose_name_is_not_utf8_is_refused(root: Path) -> None:
    for part in ("train", "test"):
        put(root / part / os.fsdecode(b"caf\xe9") / "1.png")
    assert "caf\\xe9: the class name is not UTF-8" in refusal(root)


@pytest.mark.parametrize("name", ["plain", "naïve 猫", "two  spaces"])
def test_ordinary_names_are_shown_as_they_are(name: str) -> None:
    assert shown(Path(name)) == name


# --- links


@pytest.mark.parametrize(
    "target", [".", "..", "../..", "../../..", "/", "../ant", "nested"], ids=str
)
def test_loops_end_and_are_named(target: str, root: Path) -> None:
    put(root / "train" / "ant" / "nested" / "5.png", 5)
    (root / "train" / "ant" / "again").symlink_to(target)
    passed_over = left(root, images=5)
    assert [name.split("/")[2] for name in passed_over[listing.AGAIN]] in (["again"], ["nested"])


def test_two_folders_that_lead_into_each_other_end(root: Path) -> None:
    for here, there in (("x", "y"), ("y", "x")):
        put(root / "train" / "ant" / here / "1.png")
        (root / "train" / "ant" / here / "over").symlink_to(f"../{there}")
    assert left(root, images=6) == {
        listing.AGAIN: ["train/ant/x/over/", "train/ant/y/over/"],
    }


def test_a_part_that_lies_elsewhere_may_link_back(root: Path) -> None:
    elsewhere = root.parent / "other" / "place"
    elsewhere.parent.mkdir()
    (root / "train").rename(elsewhere)
    (root / "train").symlink_to(elsewhere)
    (elsewhere / "ant" / "back").symlink_to(root)
    (elsewhere / "ant" / "up").symlink_to(elsewhere.parent)
    assert left(root) == {listing.AGAIN: ["train/ant/back/", "train/ant/up/"]}


@pytest.mark.parametrize("link", [os.symlink, os.link], ids=["symbolic", "hard"])
def test_a_file_of_two_names_counts_once(link: Callable[[Path, Path], None], root: Path) -> None:
    link(root / "train" / "ant" / "1.png", root / "train" / "ant" / "again.png")
    assert left(root) == {listing.AGAIN: ["train/ant/again.png"]}


@pytest.mark.parametrize("link", [os.symlink, os.link], ids=["symbolic", "hard"])
def test_a_file_in_two_classes_is_refused(link: Callable[[Path, Path], None], root: Path) -> None:
    link(root / "train" / "bee" / "1.png", root / "train" / "ant" / "9.png")
    message = refusal(root)
    assert message.startswith(f"{root}/train/bee/1.png: is the same file as")
    assert "ant/9.png" in message


@pytest.mark.parametrize(
    ("link", "target"), [("train/cat", "ant"), ("train/ant/x", "../bee"), ("train/up", "..")]
)
def test_a_folder_in_two_classes_is_refused(link: str, target: str, root: Path) -> None:
    (root / link).symlink_to(target)
    assert refusal(root).startswith(f"{root / link}: ")


def test_links_to_other_places_are_followed(root: Path) -> None:
    elsewhere = root.parent / "elsewhere"
    (root / "train" / "bee").rename(elsewhere)
    (root / "train" / "bee").symlink_to(elsewhere)
    put(root.parent / "more" / "7.png", 7)
    (root / "train" / "bee" / "more").symlink_to(root.parent / "more")
    (root / "train" / "ant" / "8.png").symlink_to(put(root.parent / "single.png", 8))
    assert left(root, images=6) == {}


@pytest.mark.parametrize(
    "name", ["train/ant/x.png", "train/ant/x", "train/x", "test/bee/deep/x.txt"]
)
@pytest.mark.parametrize("target", ["gone", "x", "x.png", "gone/1.png"])
def test_a_link_that_leads_nowhere_is_named(name: str, target: str, root: Path) -> None:
    (root / name).parent.mkdir(exist_ok=True)
    (root / name).symlink_to(target)
    assert refusal(root).startswith(f"{root / name}: a link that leads nowhere")


def test_drives_that_number_no_file_lose_none(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "train" / "ant" / "again").symlink_to("..")
    stat = Path.stat

    def unnumbered(self: Path, **options: bool) -> os.stat_result:
        known = list(stat(self, **options))
        known[1] = 0
        return os.stat_result(known)

    monkeypatch.setattr(Path, "stat", unnumbered)
    assert left(root) == {listing.AGAIN: ["train/ant/again/"]}


# --- what is no file, or cannot be read


def a_pipe(path: Path) -> None:
    os.mkfifo(path)


def a_socket(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # the name of a socket is short
    try:
        with socket.socket(socket.AF_UNIX) as unix_socket:
            unix_socket.bind(path.name)
    finally:
        os.chdir(here)


def a_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize("make", [a_pipe, a_socket, a_device])
@pytest.mark.parametrize("name", ["x.png", "x"])
@pytest.mark.parametrize("folder", ["train/ant", "train"])
def test_pipes_sockets_and_devices_are_never_opened(
    make: Callable[[Path], None],
    name: str,
    folder: str,
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    opened: list[Path] = []

    class Watching(disk.Disk):
        def open(self, path: Path, flags: int) -> int:
            opened.append(path)
            return super().open(path, flags)

    make(root / folder / name)
    monkeypatch.setattr(disk, "current", Watching())
    reason = listing.SPECIAL if folder == "train/ant" else listing.UNCLASSED
    assert left(root) == {reason: [f"{folder}/{name}"]}
    assert root / "train" / "ant" / "1.png" in opened
    assert root / folder / name not in opened


@pytest.mark.parametrize("folder", ["", "train", "train/bee", "test/ant", "train/ant/deep"])
def test_a_folder_that_cannot_be_listed_is_an_error_that_says_so(
    folder: str, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(root / "train" / "ant" / "deep" / "1.png")

    class Locked(disk.Disk):
        def names(self, path: Path) -> list[str]:
            if path == root / folder:
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
            return super().names(path)

    monkeypatch.setattr(disk, "current", Locked())
    assert refusal(root).startswith(f"{root / folder}: cannot be read (Permission denied)")


@pytest.mark.parametrize("folder", ["", "train", "train/bee", "test/ant"])
def test_a_folder_that_may_not_be_searched_is_an_error_that_says_so(
    folder: str, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stat = Path.stat

    def denied(self: Path, **options: bool) -> os.stat_result:
        if self.parent == root / folder:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return stat(self, **options)

    monkeypatch.setattr(Path, "stat", denied)
    message = refusal(root)
    assert message.startswith(str(root / folder))
    assert "cannot be read (Permission denied)" in message


@pytest.mark.parametrize("file", ["train/ant/1.png", "train/ant/unnamed"])
def test_a_file_that_cannot_be_read_is_an_error_that_says_so(
    file: str, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(root / file, form="PNG")

    class Worn(disk.Disk):
        def read_into(self, handle: int, buffer: memoryview) -> int:
            if os.path.realpath(f"/proc/self/fd/{handle}") == str(root / file):
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            return super().read_into(handle, buffer)

    if not Path("/proc/self/fd").is_dir():
        pytest.skip("needs /proc")
    monkeypatch.setattr(disk, "current", Worn())
    message = refusal(root)
    assert message.startswith(f"{root / file}: ")
    assert "Input/output error" in message


@pytest.mark.parametrize("part", ["train", "test"])
def test_a_class_of_which_everything_is_left_out_is_named(part: str, root: Path) -> None:
    for path in (root / part / "bee").iterdir():
        path.rename(path.with_name(f".{path.name}"))
    assert refusal(root).startswith(f"{root / part}: no image in class 'bee'")


# --- as a whole


def test_a_tidy_folder_is_listed_as_torchvision_lists_it(tmp_path: Path) -> None:
    for number, name in enumerate(
        [
            "b/1.png",
            "b/10.png",
            "b/2.png",
            "b/x/1.png",
            "b/x y/1.png",
            "b/x/z/1.png",
            "b/x-/1.png",
            "Z/1.PNG",
            "b c/1.jpg",
            "b-c/1.bmp",
            "é/1.webp",
            "a/deep/er/1.tif",
        ]
    ):
        put(tmp_path / "train" / name, number)
    folder = str(tmp_path / "train")
    classes, index = find_classes(folder)
    expected = make_dataset(folder, index, extensions=IMG_EXTENSIONS)
    listed = Listing(tmp_path, is_image).part("train")
    assert listed.classes == tuple(classes)
    assert [(str(path), label) for path, label in listed.images] == expected


def test_every_file_is_an_image_of_the_set_or_left_out(root: Path) -> None:
    put(root / ".git" / "1.png")
    put(root / "train" / "ant" / "deep" / "er" / "1.jpg")
    put(root / "train" / "ant" / "deep" / ".er" / "1.jpg")
    put(root / "test" / "bee" / "__MACOSX" / "._1.jpg", form="PNG")
    put(root / "val" / "bee" / "1.jpg")
    put(root / "extra.png")
    put(root / "train" / "loose.png")
    (root / "train" / "ant" / "same.png").symlink_to("1.png")
    (root / "train" / "ant" / "back").symlink_to("../..")
    os.mkfifo(root / "train" / "bee" / "pipe")
    (root / "test" / "ant" / "read.me").write_text("no image")
    (root / ".DS_Store").touch()
    listed = Listing(root, is_image)
    listed.beside({"val": listing.VALIDATION, "train": None, "test": None})
    seen = [path for part in ("train", "test") for path, _ in listed.part(part).images]
    names = [str(path.relative_to(root)) for path in seen]
    left_out = [name for part in listed.left_out() for name in part.names]
    assert len(set(names + left_out)) == len(names) + len(left_out)
    for folder, _, files in os.walk(root):
        for file in files:
            name = str((Path(folder) / file).relative_to(root))
            above = [part + "/" for part in left_out if part.endswith("/")]
            counted = name in names or name in left_out
            assert counted != any((name + "/").startswith(x.rstrip("/") + "/") for x in above)


@pytest.mark.parametrize(("count", "named"), [(1, 1), (20, 20), (21, 20)])
def test_a_record_counts_all_and_names_the_first(count: int, named: int, root: Path) -> None:
    for number in range(count):
        (root / "train" / "ant" / f"{number:03}.txt").touch()
    (part,) = load(root).left_out or ()
    record = part.record()
    assert record["count"] == count
    assert record["names"] == [f"train/ant/{number:03}.txt" for number in range(named)]
    assert f"{count} ({listing.NO_IMAGE}): train/ant/000.txt" in remark((part,))


def test_little_is_kept_of_each_image(tmp_path: Path) -> None:
    """There may be millions: their names and labels, and nothing else."""
    count = 500
    for number in range(count):
        path = tmp_path / "train" / "ab"[number % 2] / f"n{number:08}_{number:08}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    listing = Listing(tmp_path, lambda _: True)
    listing.part("train")  # what is imported or cached once is no matter of images
    tracemalloc.start()
    try:
        kept = listing.part("train")
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(kept.names) == count
    assert held / count < 150
