"""Tars as webdataset keeps them become a data set, or one line says what is wrong with which."""

import io
import json
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from kdgap.data import DATASETS, Dataset, Request, load_dataset, tars
from kdgap.errors import BadInputError

SIZE = 8
Member = tuple[str, bytes]


def png(seed: int) -> bytes:
    stream = io.BytesIO()
    noise = np.random.default_rng(seed).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
    Image.fromarray(noise).save(stream, "PNG")
    return stream.getvalue()


def put(path: Path, members: Sequence[Member], form: int = tarfile.PAX_FORMAT) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=form) as tar:
        for name, body in members:
            info = tarfile.TarInfo(name)
            info.size = len(body)
            tar.addfile(info, io.BytesIO(body))
    return path


def samples(first: int, labels: Sequence[str], kind: str = "cls") -> list[Member]:
    return [
        member
        for number, label in enumerate(labels, first)
        for member in ((f"{number:04}.png", png(number)), (f"{number:04}.{kind}", label.encode()))
    ]


def release(root: Path, part: str = "val") -> Path:
    put(root / "train-000000.tar", samples(0, ["bee", "ant", "bee"]))
    put(root / "train-000001.tar", samples(3, ["ant", "bee"]))
    put(root / f"{part}-000000.tar", samples(5, ["ant", "bee"]))
    return root


def load(root: Path, size: int | None = SIZE, **asked: Any) -> Dataset:
    return load_dataset("webdataset", Request(root, size, **asked))


def refusal(root: Path) -> str:
    survey = DATASETS["webdataset"].survey
    assert survey is not None
    with pytest.raises(BadInputError) as caught:
        survey(Request(root, SIZE))
    with pytest.raises(BadInputError) as again:
        load(root)
    assert str(again.value) == str(caught.value)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def folders(root: Path, dataset: Dataset) -> Dataset:
    """Return the same images from class folders."""
    for part, first, images in (("train", 0, dataset.train), ("test", 5, dataset.test)):
        for number, label in enumerate(images.labels.tolist(), first):
            path = root / part / dataset.classes[label] / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(png(number))
    return load_dataset("imagefolder", Request(root, SIZE))


def test_tars_hold_what_folders_do(tmp_path: Path) -> None:
    dataset = load(release(tmp_path / "shards"))
    assert dataset.classes == ("ant", "bee")
    assert dataset.train.labels.tolist() == [1, 0, 1, 0, 1]
    assert dataset.test.labels.tolist() == [0, 1]
    other = folders(tmp_path / "folders", dataset)
    order = dataset.train.labels.argsort(stable=True)
    assert torch.equal(dataset.train.take(order).pixels, other.train.pixels)
    assert torch.equal(dataset.test.pixels, other.test.pixels)


def test_a_survey_decodes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kdgap.data.decoding.fitted", lambda *_: pytest.fail("decoded"))
    survey = DATASETS["webdataset"].survey
    assert survey is not None
    shape = survey(Request(release(tmp_path)))
    assert (shape.train, shape.test, shape.image_size) == (5, 2, (SIZE, SIZE))


def test_pixels_that_stay_in_a_file_are_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    resident = load(release(tmp_path / "shards"))
    monkeypatch.setenv("KDGAP_CACHE", str(tmp_path / "other"))
    for module in ("cache", "decoding"):
        monkeypatch.setattr(f"kdgap.data.{module}.fits_in_memory", lambda *_: False)
    stored = load(tmp_path / "shards")
    assert type(stored.train) is not type(resident.train)
    assert stored.fingerprint == resident.fingerprint


@pytest.mark.parametrize(
    ("names", "test"),
    [
        (("train/00000.tar", "val/00000.tar"), 2),
        (("train/00000.tar", "test/00000.tar"), 2),
        (("set-train-0000.tar", "set-validation-0000.tar"), 2),
        (("train-00000-of-00001.tar", "test-00000-of-00001.tar"), 2),
        (("images-000000.tar", "images-000001.tar"), 0),
        (("train-000000.tar", "train-000001.tar"), 0),
    ],
)
def test_names_say_the_part(names: tuple[str, str], test: int, tmp_path: Path) -> None:
    put(tmp_path / names[0], samples(0, ["ant", "bee"] * 5))
    put(tmp_path / names[1], samples(10, ["ant", "bee"]))
    dataset = load(tmp_path)
    assert (dataset.split is None) == bool(test)
    assert len(dataset.test) == 2
    assert len(dataset.train) == 10


def test_a_single_tar_is_split_by_seed_and_names(tmp_path: Path) -> None:
    single = put(tmp_path / "a" / "all.tar", samples(0, ["ant", "bee"] * 8))
    other = put(tmp_path / "b" / "all.tar", samples(0, ["ant", "bee"] * 8))
    first, second = load(single), load(other)
    assert first.split is not None
    assert first.fingerprint == second.fingerprint
    assert load(single, split_seed=5).fingerprint != first.fingerprint


def test_validation_beside_test_is_left_out_and_said(tmp_path: Path) -> None:
    release(tmp_path)
    put(tmp_path / "test-000000.tar", samples(9, ["ant", "bee"]))
    dataset = load(tmp_path)
    assert len(dataset.train) == 5
    assert dataset.left_out is not None
    assert [left.names for left in dataset.left_out] == [("val-000000.tar",)]


@pytest.mark.parametrize(
    ("kind", "labels", "classes"),
    [
        ("cls", ["10", "9", "10", "9"], ("9", "10")),
        ("txt", [" owl\n", "cat", "owl", "cat"], ("cat", "owl")),
        ("json", ['{"Label": 1}', '{"class": 0}', '{"label": 1, "x": [2]}', "0"], ("0", "1")),
    ],
)
def test_labels_are_read_from_what_holds_them(
    kind: str, labels: list[str], classes: tuple[str, ...], tmp_path: Path
) -> None:
    put(tmp_path / "train.tar", samples(0, labels, kind))
    put(tmp_path / "test.tar", samples(4, labels[:2], kind))
    dataset = load(tmp_path)
    assert dataset.classes == classes
    assert dataset.train.labels.tolist() == [1, 0, 1, 0]


def test_other_files_folders_and_hidden_names_are_passed_over(tmp_path: Path) -> None:
    members = samples(0, ["ant", "bee"])
    for at in (4, 2):
        members.insert(at, (f"{at // 2 - 1:04}.seg.png", b"another"))
        members.insert(at, (f"{at // 2 - 1:04}.json", json.dumps({"label": "x"}).encode()))
    put(tmp_path / "train.tar", [("._0000.png", b"mac"), *members])
    put(tmp_path / "test.tar", samples(4, ["ant", "bee"]))
    with tarfile.open(tmp_path / "test.tar", "a") as tar:
        folder = tarfile.TarInfo("more")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
    dataset = load(tmp_path)
    assert (dataset.classes, len(dataset.train)) == (("ant", "bee"), 2)


def test_a_broken_image_is_named_or_skipped(tmp_path: Path) -> None:
    release(tmp_path)
    put(
        tmp_path / "train-000001.tar",
        [("a/x.png", b"no image"), ("a/x.cls", b"ant"), *samples(3, ["ant", "bee"])],
    )
    with pytest.raises(BadInputError, match=r"train-000001\.tar/a/x\.png: "):
        load(tmp_path)
    dataset = load(tmp_path, skip_broken=True)
    assert len(dataset.train) == 5
    assert dataset.left_out is not None
    assert dataset.left_out[0].names == ("train-000001.tar/a/x.png",)


# --- hostile tars


def special(kind: bytes, name: str = "0000.png", link: str = "/etc/passwd") -> Callable[..., None]:
    def write(path: Path) -> None:
        with tarfile.open(path, "w") as tar:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, link
            tar.addfile(info)

    return write


def members(*given: Member) -> Callable[..., None]:
    def write(path: Path) -> None:
        put(path, given)

    return write


def claims(size: int) -> Callable[..., None]:
    """A member that says it is larger than it is."""

    def write(path: Path) -> None:
        info = tarfile.TarInfo("0000.png")
        info.size = size
        path.write_bytes(info.tobuf(tarfile.GNU_FORMAT) + bytes(10240))

    return write


def long_head(path: Path) -> None:
    info = tarfile.TarInfo("0000.png")
    info.pax_headers = {"comment": "x" * 2**21}
    path.write_bytes(info.tobuf(tarfile.PAX_FORMAT) + bytes(1024))


def cut(keep: Callable[[bytes], bytes]) -> Callable[..., None]:
    def write(path: Path) -> None:
        put(path, samples(0, ["ant", "bee"]))
        path.write_bytes(keep(path.read_bytes()))

    return write


X = b"x"
HOSTILE: list[tuple[Callable[..., None], str]] = [
    (special(tarfile.SYMTYPE), r"0000\.png is a link"),
    (special(tarfile.LNKTYPE), r"0000\.png is a link"),
    (special(tarfile.FIFOTYPE), r"0000\.png is no plain file"),
    (special(tarfile.CHRTYPE), r"0000\.png is no plain file"),
    (special(tarfile.SYMTYPE, "a\x1b]0;x\x07.png"), "is a link"),
    (members(("/etc/0.png", X)), r"/etc/0\.png is a path that leads out"),
    (members(("a/../../0.png", X)), "is a path that leads out"),
    (claims(2**40), r"cut short: 0000\.png goes on after"),
    (claims(-512), "damaged after 0 members|cannot be read|head"),
    (long_head, "a member's head has more than 1,048,576 bytes"),
    (cut(lambda content: content[:700]), "cut short"),
    (cut(lambda content: content[:2048]), "cut short after"),
    (cut(lambda content: content[: 2 * 1024] + b"?" * 512 + content[2560:]), "damaged after"),
    (cut(lambda content: content + content), "goes on after its end"),
    (cut(lambda _: b""), "not a tar|cut short"),
    (cut(lambda _: b"PK" + bytes(2000)), "not a tar that can be read"),
    (cut(lambda _: b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"), "LFS"),
    (members(("0.cls", b"ant")), "sample 0 has no image"),
    (members(("0.png", X)), r"sample 0 has no label: no \.cls, \.json or \.txt"),
    (members(("0.png", X), ("0.jpg", X), ("0.cls", X)), "sample 0 has 2 images"),
    (members(("0.png", X), ("0.png", X), ("0.cls", X)), r"0\.png is there twice"),
    (members(("0.png", X), ("0.cls", X), ("1.png", X), ("1.cls", X), ("0.txt", X)), "comes again"),
    (members(("0.png", b""), ("0.cls", X)), "has 0 bytes"),
    (members(("0.png", X), ("0.cls", b"")), r"0\.cls holds no label"),
    (members(("0.png", X), ("0.cls", b"a\0b")), r"0\.cls holds no label"),
    (members(("0.png", X), ("0.cls", b"\xff\xfe\xff")), r"0\.cls holds no label"),
    (members(("0.png", X), ("0.cls", b"x" * 5000)), "a label of 5,000 letters"),
    (members(("0.png", X), ("0.txt", b"x" * (2**20 + 1))), "has 1,048,577 bytes"),
    (members(("0.png", X), ("0.json", b"{}")), r"0\.json holds no label"),
    (members(("0.png", X), ("0.json", b'{"label": 1.5}')), r"0\.json holds no label"),
    (members(("0.png", X), ("0.json", b"[" * 100_000)), r"0\.json holds no label"),
    (members(("0.png", X), ("0.cls", b"-1")), "label -1 is out of range"),
]


@pytest.mark.parametrize(("write", "words"), HOSTILE)
def test_a_hostile_tar_is_refused_in_one_line(
    write: Callable[..., None], words: str, tmp_path: Path
) -> None:
    release(tmp_path)
    write(tmp_path / "train-000002.tar")
    with pytest.raises(BadInputError, match=words) as caught:
        load(tmp_path)
    assert str(caught.value).isprintable()
    assert "train-000002.tar" in refusal(tmp_path) or "-1" in words


def test_an_image_beyond_the_bound_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tars, "IMAGE", 100)
    assert "at most 100" in refusal(release(tmp_path)) or "1 to 100" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ((), r"looked for a \.tar"),
        (("train-0.tar", "train-2.tar"), "number 1 is missing"),
        (("train-00000-of-00002.tar",), "number 1 is missing"),
        (("train-00001-of-00002.tar",), "number 0 is missing"),
        (("train-1.tar", "train-01.tar"), r"has the number of train-01\.tar"),
        (("train-test-1.tar",), "its name says test and train"),
        (("train-1.tar", "more-1.tar"), "'more-1.tar' does not say its part"),
        (("val-1.tar",), "nothing to train on"),
    ],
)
def test_names_that_say_too_little_are_refused(
    names: Sequence[str], words: str, tmp_path: Path
) -> None:
    for name in names:
        put(tmp_path / name, samples(0, ["ant", "bee"]))
    with pytest.raises(BadInputError, match=words):
        load(tmp_path)
    assert refusal(tmp_path)
