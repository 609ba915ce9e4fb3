"""What an import does not read is named, wherever it stands; where nothing is read, it says why."""

import io
import os
import stat
import tarfile
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kdgap import disk
from kdgap.errors import BadInputError
from kdgap.judge.imported_evidence import evidence_of
from kdgap.store.imports.imported import import_runs
from tests.judge.builders import analyse
from tests.store.foreign_files import FIDELITY, FINAL, PLAIN, findings, history, write

ARM = "final/resnet50_to_resnet18_logit"


def tree(folder: Path, seeds: int = 5) -> Path:
    """Write a baseline and a method of some seeds."""
    for seed in range(seeds):
        for arm, own in (("final/baseline/resnet18", PLAIN), (ARM, {})):
            epochs = history(0.3 + seed / 10 + 0.05 * bool(own))
            write(folder, f"{arm}/seed{seed}", seed=seed, history=epochs, **own)
    return folder


def seeds_of(source: Path) -> tuple[dict[str, Any], int]:
    """Return what was found, and how many seeds the method has."""
    about, runs = import_runs(source, "x")
    (gain,) = analyse(evidence_of(about, runs, "x")).gains
    return about, gain.n


def passed(about: dict[str, Any]) -> list[tuple[str, str]]:
    return [(f["text"], path) for f in findings(about, "passed") for path in f["paths"]]


def test_a_seed_on_another_disk_is_read_through_its_link(tmp_path: Path) -> None:
    folder = tree(tmp_path / "r")
    (folder / ARM / "seed3").rename(tmp_path / "elsewhere")
    (folder / ARM / "seed3").symlink_to(tmp_path / "elsewhere")
    about, n = seeds_of(folder)
    assert (n, passed(about)) == (5, [])


def test_a_link_to_a_result_file_is_read(tmp_path: Path) -> None:
    folder = tree(tmp_path / "r")
    (folder / ARM / "seed3" / "results.json").rename(tmp_path / "r3.json")
    (folder / ARM / "seed3" / "results.json").symlink_to(tmp_path / "r3.json")
    assert seeds_of(folder)[1] == 5


@pytest.mark.parametrize("target", ["..", ".", "../..", "../../..", "/", "../seed1"])
def test_a_link_that_leads_round_is_read_once(tmp_path: Path, target: str) -> None:
    folder = tree(tmp_path / "r")
    (folder / ARM / "seed0" / "round").symlink_to(target, target_is_directory=True)
    about, n = seeds_of(folder)
    assert n == 5
    ((text, path),) = passed(about)
    assert (text.split(":")[0].split(" that")[0], path) == (
        "a link to a folder", f"{ARM}/seed0/round")  # fmt: skip


def test_a_folder_with_two_links_to_it_is_read_once(tmp_path: Path) -> None:
    folder = tree(tmp_path / "r")
    (folder / ARM / "seed3").rename(tmp_path / "elsewhere")
    for name in ("seed3", "seed3-again"):
        (folder / ARM / name).symlink_to(tmp_path / "elsewhere")
    about, n = seeds_of(folder)
    assert (n, [path for _, path in passed(about)]) == (5, [f"{ARM}/seed3-again"])


def gone(folder: Path) -> None:
    (folder / "results.json").unlink()


def fifo(folder: Path) -> None:
    gone(folder)
    os.mkfifo(folder / "results.json")


def broken(folder: Path) -> None:
    gone(folder)
    (folder / "results.json").symlink_to("nowhere")


def circle(folder: Path) -> None:
    gone(folder)
    (folder / "results.json").symlink_to("results.json")


def named(name: str) -> Callable[[Path], None]:
    def rename(folder: Path) -> None:
        (folder / "results.json").rename(folder / name)

    return rename


def hidden(folder: Path) -> None:
    (folder / ".kept").mkdir()
    (folder / "results.json").rename(folder / ".kept" / "results.json")


def several(folder: Path) -> None:
    """The file of this seed stands beside another seed's."""
    (folder / "results.json").rename(folder.parent / "seed0" / "results_seed3.json")


@pytest.mark.parametrize(
    ("change", "words", "path"),
    [
        (gone, "a folder without results.json", "seed3"),
        (fifo, "neither a file nor a folder", "seed3/results.json"),
        (broken, "leads nowhere", "seed3/results.json"),
        (circle, "leads nowhere", "seed3/results.json"),
        (named("results.json.gz"), "neither results.json", "seed3/results.json.gz"),
        (named("results.JSON"), "neither results.json", "seed3/results.JSON"),
        (named("results (1).json"), "neither results.json", "seed3/results (1).json"),
        (named("metrics.csv"), "neither results.json", "seed3/metrics.csv"),
        (named("seed3.tar.gz"), "unpack it", "seed3/seed3.tar.gz"),
        (hidden, "a hidden folder", "seed3/.kept"),
        (several, "neither results.json", "seed0/results_seed3.json"),
    ],
)
def test_what_may_be_a_seed_and_is_not_read_is_named(
    tmp_path: Path, change: Callable[[Path], None], words: str, path: str
) -> None:
    folder = tree(tmp_path / "r")
    change(folder / ARM / "seed3")
    about, runs = import_runs(folder, "x")
    assert any(words in text and where == f"{ARM}/{path}" for text, where in passed(about))
    (gain,) = analyse(evidence_of(about, runs, "x")).gains
    assert gain.n == 4
    assert any(flag.code == "missing-runs" and path in flag.text for flag in gain.flags)


@pytest.mark.parametrize("where", [f"{ARM}/seed3", ARM])
def test_a_folder_that_may_not_be_listed_is_named(
    tmp_path: Path, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tree(tmp_path / "r")
    real = disk.current.names

    def refuse(path: Path) -> list[str]:
        if path == folder / where:
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(disk.current, "names", refuse)
    about, _ = import_runs(folder, "x")
    (finding,) = findings(about, "unreadable")
    assert (finding["text"], finding["paths"]) == ("a folder: Permission denied", [where])


def test_files_that_are_no_results_are_counted_and_alarm_nobody(tmp_path: Path) -> None:
    folder = tree(tmp_path / "r")
    for name in ("model.pth", "config.json", "metrics.csv", "train.log", "ckpt.tar.gz"):
        (folder / ARM / "seed0" / name).write_text("x")
    about, n = seeds_of(folder)
    assert (n, passed(about)) == (5, [])
    assert about["other_files"] == {".pth": 1, ".json": 1, ".csv": 1, ".log": 1, ".gz": 1}


def test_names_that_are_no_text_are_read_and_named(tmp_path: Path) -> None:
    folder = tree(tmp_path / "r")
    odd = os.fsdecode(b"seed3-\xff")
    (folder / ARM / "seed3").rename(folder / ARM / odd)
    (folder / ARM / odd / os.fsdecode(b"results-\xfe.json")).write_text("x")
    about, n = seeds_of(folder)
    assert n == 5
    assert [path for _, path in passed(about)] == [f"{ARM}/seed3-\\xff/results-\\xfe.json"]


# Archives


def packed(folder: Path, target: Path) -> Path:
    """Pack a folder as the suffix says."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    if target.suffix == ".zip":
        with zipfile.ZipFile(target, "w") as archive:
            for path in files:
                archive.write(path, path.relative_to(folder))
    else:
        with tarfile.open(target, "w:gz" if target.suffix in (".gz", ".tgz") else "w") as tar:
            for path in files:
                tar.add(path, str(path.relative_to(folder)))
    return target


ARCHIVES = ["x.zip", "x.tar", "x.tar.gz", "x.tgz"]


@pytest.mark.parametrize("name", ARCHIVES)
def test_a_folder_and_its_archive_are_the_same_source(tmp_path: Path, name: str) -> None:
    folder = tree(tmp_path / "r")
    write(folder, f"{ARM}/seed0", fidelity=FIDELITY, history=history(0.3))
    (folder_about, first), (archive_about, second) = (
        import_runs(p, "x") for p in (folder, packed(folder, tmp_path / name))
    )
    assert folder_about["source"]["sha256"] == archive_about["source"]["sha256"]
    assert first == second


@pytest.mark.parametrize("name", ARCHIVES)
def test_what_an_archive_hides_is_named(tmp_path: Path, name: str) -> None:
    folder = tree(tmp_path / "r")
    for number, change in enumerate((gone, named("results.json.bz2"), hidden)):
        change(folder / ARM / f"seed{number}")
        (folder / ARM / f"seed{number}" / "log.txt").write_text("x")
    inner = folder / "__MACOSX" / ARM / "seed3"
    inner.mkdir(parents=True)
    (inner / "._results.json").write_text("x")
    about, n = seeds_of(packed(folder, tmp_path / name))
    assert n == 2
    assert {path for _, path in passed(about)} == {
        "__MACOSX", f"{ARM}/seed0", f"{ARM}/seed1", f"{ARM}/seed1/results.json.bz2",
        f"{ARM}/seed2", f"{ARM}/seed2/.kept",
    }  # fmt: skip


def zip_with(target: Path, change: Callable[[zipfile.ZipFile, bytes], None]) -> Path:
    """Pack a folder, and one more member."""
    packed(tree(target.parent / "r"), target)
    more = write(target.parent / "more", FINAL, seed=9, history=history(0.85)).read_bytes()
    with warnings.catch_warnings(), zipfile.ZipFile(target, "a") as archive:
        warnings.simplefilter("ignore")
        change(archive, more)
    return target


def link(archive: zipfile.ZipFile, _: bytes) -> None:
    info = zipfile.ZipInfo(f"{ARM}/seed9")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    archive.writestr(info, "../../../elsewhere")


def test_a_link_in_a_zip_is_named_and_not_followed(tmp_path: Path) -> None:
    about, n = seeds_of(zip_with(tmp_path / "x.zip", link))
    assert n == 5
    assert passed(about) == [("a link in an archive: pack what it leads to", f"{ARM}/seed9")]


@pytest.mark.parametrize(
    ("offset", "value", "words"),
    [
        (8, 1, "encrypted: pack it without a password"),  # flags
        (10, 97, "packed in a way that is not read"),  # method
        (10, 9, "packed in a way that is not read"),  # Deflate64
    ],
)
def test_a_member_that_cannot_be_unpacked_is_named(
    tmp_path: Path, offset: int, value: int, words: str
) -> None:
    source = zip_with(tmp_path / "x.zip", lambda a, c: a.writestr(f"{ARM}/seed9/results.json", c))
    content = bytearray(source.read_bytes())
    content[content.rindex(b"PK\1\2") + offset] = value
    source.write_bytes(content)
    about, n = seeds_of(source)
    assert n == 5
    (finding,) = findings(about, "unreadable")
    assert words in finding["text"]
    assert finding["paths"] == [f"{ARM}/seed9/results.json"]


def test_a_zip_whose_list_lost_a_member_is_refused(tmp_path: Path) -> None:
    source = packed(tree(tmp_path / "r"), tmp_path / "x.zip")
    content = bytearray(source.read_bytes())
    content[content.rindex(b"PK\1\2", 0, content.rindex(b"PK\1\2")) + 32] = 0xFF  # a long comment
    source.write_bytes(content)
    with pytest.raises(BadInputError, match="its list is damaged: 9 members of 10"):
        import_runs(source, "x")


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])
def test_odd_members_of_a_tar_are_named(tmp_path: Path, kind: bytes) -> None:
    source = packed(tree(tmp_path / "r"), tmp_path / "x.tar")
    with tarfile.open(source, "a") as tar:
        info = tarfile.TarInfo(f"{ARM}/seed9/results.json")
        info.type, info.linkname = kind, "../seed0/results.json"
        tar.addfile(info)
    about, n = seeds_of(source)
    assert n == 5
    assert [path for _, path in passed(about)] == [f"{ARM}/seed9/results.json"]


@pytest.mark.parametrize("name", ["x.tar", "x.tar.gz"])
def test_a_flipped_byte_in_a_tar_changes_no_number(tmp_path: Path, name: str) -> None:
    """A tar has no checksum of its content: a flip in a file's text is the file's own affair."""
    source = packed(tree(tmp_path / "r", seeds=2), tmp_path / name)
    whole = source.read_bytes()
    known = {run["sha256"][0] for run in import_runs(source, "x")[1]}
    heads = [i for i in range(len(whole)) if name == "x.tar.gz" or whole[i // 512 * 512 + 257 :
             i // 512 * 512 + 262] == b"ustar"]  # fmt: skip
    named = 0
    for index in heads[::7]:
        broken = bytearray(whole)
        broken[index] ^= 0xFF
        source.write_bytes(broken)
        try:
            about, runs = import_runs(source, "x")
        except BadInputError:
            named += 1
            continue
        assert {run["sha256"][0] for run in runs} <= known
        if len(runs) < 4:
            assert findings(about, "passed") or findings(about, "unreadable")
            named += 1
    assert named > 20


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("x.tar.bz2", b"BZh91AY", "packed as bzip2"),
        ("x.tar.xz", b"\xfd7zXZ\0", "packed as xz"),
        ("x.tar.zst", b"\x28\xb5\x2f\xfd1", "packed as zstd"),
        ("x.7z", b"7z\xbc\xaf\x27\x1c", "packed as 7z"),
        ("x.rar", b"Rar!\x1a\x07", "packed as rar"),
        ("x.tar", b"hello", "no readable tar"),
        ("x.json.gz", b"\x1f\x8b\x08hello", "no readable tar.gz"),
    ],
)
def test_an_archive_of_another_kind_is_refused_by_name(
    tmp_path: Path, name: str, content: bytes, words: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadInputError, match=words):
        import_runs(tmp_path / name, "x")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"best_val_acc": 91.2},
            "91.2, no share of one; if accuracies are in percent, import with",
        ),
        ({"test_acc_best": 8000}, "8000, no share of one ("),
        ({"seed": "3"}, "seed is '3', no whole number; write it without quotation marks"),
        ({"epochs": "3"}, "no number of epochs; write it without quotation marks"),
        ({"alpha": "0.5"}, "alpha is '0.5', no number; write it without quotation marks"),
        ({"test_acc_best": "0.9"}, "no share of one; write it without quotation marks"),
        ({"without": ("history",)}, "has no history of epochs"),
    ],
)
def test_where_nothing_is_read_the_text_says_what_to_change(
    tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    for seed in range(3):
        write(tmp_path, FINAL.replace("seed0", f"seed{seed}"), **{"seed": seed, **changes})
    with pytest.raises(BadInputError) as caught:
        import_runs(tmp_path, "x")
    assert words in str(caught.value)
    assert "and 2 more)" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_where_nothing_is_read_what_was_passed_over_is_named(tmp_path: Path) -> None:
    for seed in range(3):
        path = write(tmp_path, FINAL.replace("seed0", f"seed{seed}"))
        path.rename(path.with_suffix(".json.gz"))
    with pytest.raises(BadInputError, match=r"holds no results.json; passed over: neither .*seed0"):
        import_runs(tmp_path, "x")


def test_a_member_of_a_tar_that_holds_nothing_is_no_end(tmp_path: Path) -> None:
    target = tmp_path / "x.tar"
    with tarfile.open(target, "w") as tar:
        for seed in (0, 1):
            content = write(
                tmp_path / "r", FINAL, seed=seed, history=history(seed / 2)
            ).read_bytes()
            tar.addfile(tarfile.TarInfo("empty"))
            info = tarfile.TarInfo(f"{ARM}/seed{seed}/results.json")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    assert len(import_runs(target, "x")[1]) == 2


def test_a_member_without_a_name_is_passed_over(tmp_path: Path) -> None:
    archive = tmp_path / "runs.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr("x", "{}")
        for seed in range(2):
            packed.write(
                write(tmp_path / "theirs", f"runs/final/resnet18_baseline/seed{seed}", seed=seed),
                f"runs/final/resnet18_baseline/seed{seed}/results.json",
            )
    content = archive.read_bytes()
    # The name of one letter becomes none, in its own header and in the list.
    content = content.replace(b"\x01\0\0\0x{}", b"\0\0\x01\0x{}")
    at = content.index(b"PK\x01\x02")
    content = content[: at + 28] + b"\0\0\x01\0" + content[at + 32 :]
    archive.write_bytes(content)
    assert zipfile.ZipFile(archive).infolist()[0].filename == ""
    assert len(import_runs(archive, "x")[1]) == 2
