"""Reading what others wrote takes bounded time and memory: counted in calls and bytes."""

import bz2
import gzip
import io
import json
import lzma
import tarfile
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from kdgap import disk
from kdgap.errors import BadInputError
from kdgap.judge.load import load
from kdgap.report.collect import collect
from kdgap.store import instead
from kdgap.store.imports import archives, copies, gate, merging, source_files, sources, splits
from kdgap.store.imports.gate import OddFileError, read_object
from kdgap.store.imports.imported import import_runs
from tests.store.foreign_files import FINAL, PLAIN, findings, history, write

BOMB = 2**26
"""Bytes that a bomb unpacks to: far more than the tests may hold."""
MIB = 2**20


class Key(str):
    """A key that counts how often it is compared."""

    compared = 0
    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        Key.compared += 1
        return str.__eq__(self, other)

    __hash__ = str.__hash__


def test_a_key_that_stands_twice_is_found_without_comparing_every_pair() -> None:
    pairs = [(Key(number), 1) for number in range(5000)]
    with pytest.raises(OddFileError, match="holds 4000 twice"):
        gate._each_key_once([*pairs, (Key(4000), 2)])
    assert Key.compared < 50_000  # all pairs would be 12 million


def peak(work: Callable[[], object]) -> int:
    """Return the most bytes that were held at once."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"a": [' + "[]," * 10**6 + "[]]}", "values; a result has a few thousand"),
        ("[" * 10**6, "nested too deeply"),
        ('{"a":' * 200_000, "nested too deeply"),
        ("[" * 2 * 10**6, "values; a result has"),
        ('{"a": ' + "9" * 10**7, "torn or no JSON"),
        ('{"a": "' + "x" * 10**7, "torn or no JSON"),
        (" " * 10**7, "torn or no JSON"),
    ],
    ids=["lists", "deep", "deep objects", "deeper", "digits", "text", "space"],
)
def test_what_a_text_may_cost(text: str, words: str) -> None:
    content = text.encode()

    def read() -> None:
        with pytest.raises(OddFileError, match=words):
            read_object(content)

    assert peak(read) < 12 * len(content) + 64 * MIB


def test_numbers_of_any_length_are_floats() -> None:
    assert read_object(b'{"a": ' + b"9" * 10**6 + b"}") == {"a": float("inf")}
    assert read_object(b'{"a": 0.' + b"1" * 10**6 + b"}") == {"a": float("0." + "1" * 40)}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {f"k{i}": i for i in range(gate.MOST_SETTINGS)},
            "settings; a result has a few dozen",
        ),
        ({"new": {f"k{i}": i for i in range(gate.MOST_SETTINGS)}}, "settings; a result has"),
        ({"k" * 10**6: 1}, "a key of over 1,000 characters"),
        ({"k" * 10**6: {f"k{i}": i for i in range(900)}}, "a key of over 1,000 characters"),
    ],
    ids=["keys", "object", "a long key", "a long key of an object"],
)
def test_a_file_of_too_many_settings_holds_no_result(
    tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    write(tmp_path, FINAL)
    write(tmp_path, FINAL.replace("seed0", "seed1"), seed=1, **changes)
    got: list[Any] = []
    assert peak(lambda: got.extend(import_runs(tmp_path, "x"))) < 64 * MIB
    assert len(got[1]) == 1
    assert words in findings(got[0], "unreadable")[0]["text"]


def test_remarks_on_a_file_are_counted(tmp_path: Path) -> None:
    odd = [{**entry, **{f"loss{i}": "x" for i in range(500)}} for entry in history()]
    write(tmp_path, FINAL, history=odd)
    about, _ = import_runs(tmp_path, "x")
    texts = [f["text"] for f in findings(about, "contradiction")]
    assert len(texts) == gate.MOST_REMARKS + 1
    assert "480 more" in texts[-1]


# Archives


@cache
def packed(method: int) -> bytes:
    """Return what a zip holds of a member that is a bomb."""
    content = bytes(BOMB)
    if method == zipfile.ZIP_DEFLATED:
        return zlib.compress(content, wbits=-15)
    if method == zipfile.ZIP_BZIP2:
        return bz2.compress(content)
    alone = lzma.compress(content, lzma.FORMAT_ALONE)
    return b"\x09\x04\x05\x00" + alone[:5] + alone[13:]


def zip_bomb(path: Path, method: int, stated: int) -> Path:
    """Write a zip whose member unpacks to far more than its list says."""
    good = write(path.parent / "good", FINAL).read_bytes()
    raw = packed(method)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{FINAL}/results.json", good)
        archive.writestr(f"{FINAL}1/results.json", raw)
    content = bytearray(path.read_bytes())
    for mark, at in ((content.rindex(b"PK\3\4"), 8), (content.rindex(b"PK\1\2"), 10)):
        content[mark + at : mark + at + 2] = method.to_bytes(2, "little")
        size = mark + at + 14
        content[size : size + 4] = stated.to_bytes(4, "little")
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
@pytest.mark.parametrize(
    ("stated", "words"), [(1000, "damaged in the zip"), (BOMB, "bytes; a result file has a few")]
)
def test_a_member_unpacks_to_no_more_than_its_bound(
    tmp_path: Path, method: int, stated: int, words: str
) -> None:
    source = zip_bomb(tmp_path / "x.zip", method, stated)
    about: dict[str, Any] = {}
    assert peak(lambda: about.update(import_runs(source, "x")[0])) < BOMB / 4
    (finding,) = findings(about, "unreadable")
    assert words in finding["text"]


def test_a_member_that_asks_for_much_memory_is_named(tmp_path: Path) -> None:
    source = zip_bomb(tmp_path / "x.zip", zipfile.ZIP_LZMA, 1000)
    content = bytearray(source.read_bytes())
    start = content.rindex(b"\x09\x04\x05\x00")
    content[start + 5 : start + 9] = b"\xff\xff\xff\xff"  # a dictionary of 4 GiB
    source.write_bytes(content)
    about, _ = import_runs(source, "x")
    assert "damaged in the zip" in findings(about, "unreadable")[0]["text"]


def tar_of(path: Path, *members: tuple[tarfile.TarInfo, bytes]) -> Path:
    with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w") as tar:
        for info, content in members:
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def test_a_tar_is_unpacked_to_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = write(tmp_path / "good", FINAL).read_bytes()
    source = tar_of(
        tmp_path / "x.tar.gz",
        (tarfile.TarInfo("model.pth"), bytes(40 * MIB)),
        (tarfile.TarInfo(f"{FINAL}/results.json"), good),
    )
    assert len(import_runs(source, "x")[1]) == 1
    monkeypatch.setattr(archives, "MOST_UNPACKED", 30 * MIB)
    with pytest.raises(BadInputError, match="GiB when unpacked; unpack it, and import the folder"):
        import_runs(source, "x")


@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE, tarfile.XGLTYPE])
def test_a_name_in_a_tar_is_no_bomb(tmp_path: Path, kind: bytes) -> None:
    info = tarfile.TarInfo("x")
    info.type, info.size = kind, BOMB
    with gzip.open(tmp_path / "x.tar.gz", "wb") as stream:
        stream.write(info.tobuf(tarfile.GNU_FORMAT))
        for _ in range(BOMB // MIB):
            stream.write(bytes(MIB))

    def read() -> None:
        with pytest.raises(BadInputError, match="a member's head is too large"):
            import_runs(tmp_path / "x.tar.gz", "x")

    assert peak(read) < 16 * MIB


def test_a_large_member_of_a_tar_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_files, "MOST_FILE_BYTES", 2000)
    good = write(tmp_path / "good", FINAL).read_bytes()
    source = tar_of(
        tmp_path / "x.tar",
        (tarfile.TarInfo(f"{FINAL}1/results.json"), b" " * 3000),
        (tarfile.TarInfo(f"{FINAL}/results.json"), good),
    )
    about, _ = import_runs(source, "x")
    assert "3,000 bytes" in findings(about, "unreadable")[0]["text"]


@pytest.mark.parametrize("name", ["x.zip", "x.tar"])
def test_members_are_counted(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MOST_MEMBERS", 10)
    if name == "x.zip":
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            for number in range(11):
                archive.writestr(f"{number}.txt", "")
    else:
        tar_of(tmp_path / name, *((tarfile.TarInfo(str(n)), b"") for n in range(11)))
    with pytest.raises(BadInputError, match="more than 10 members"):
        import_runs(tmp_path / name, "x")


def test_a_list_of_members_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MOST_LIST_BYTES", 1000)
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        for number in range(30):
            archive.writestr(f"{number}.txt", "")
    with pytest.raises(BadInputError, match="its list of members has 1,"):
        import_runs(tmp_path / "x.zip", "x")


# Folders, and all files together


@pytest.mark.parametrize(
    ("where", "name", "most", "words"),
    [
        (sources, "MOST_NAMES", 5, "more than 5 names"),
        (source_files, "MOST_FILES", 2, "more than 2 result files"),
        (source_files, "MOST_BYTES", 900, "more than 900 bytes of result files"),
        (source_files, "MOST_IN_MEMORY", 40, "more than 40 values in result files"),
    ],
)
@pytest.mark.parametrize("read", [lambda path: import_runs(path, "x"), collect])
def test_a_source_is_bounded(
    tmp_path: Path, where: Any, name: str, most: int, words: str, read: Callable[[Path], Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    for seed in range(3):
        write(tmp_path, FINAL.replace("seed0", f"seed{seed}"), seed=seed)
    monkeypatch.setattr(where, name, most)
    with pytest.raises(BadInputError, match=words):
        read(tmp_path)


def test_a_large_file_is_read_to_its_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, FINAL)
    large = tmp_path / FINAL.replace("seed0", "seed1") / "results.json"
    large.parent.mkdir()
    with large.open("wb") as stream:
        stream.truncate(2**40)  # a hole
    taken = 0
    real = disk.current.read_into

    def count(handle: int, buffer: memoryview) -> int:
        nonlocal taken
        size = real(handle, buffer)
        taken += size
        return size

    monkeypatch.setattr(disk.current, "read_into", count)
    about, runs = import_runs(tmp_path, "x")
    assert len(runs) == 1
    assert "bytes; a result file has a few thousand" in findings(about, "unreadable")[0]["text"]
    assert taken < 2 * source_files.MOST_FILE_BYTES
    groups, remarks = collect(tmp_path)
    assert len(groups) == 1
    assert "bytes; a result file has a few thousand" in remarks[0]


def test_a_hint_looks_at_few_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(instead, "MOST_LOOKED_AT", 50)
    for number in range(200):
        (tmp_path / "a" / str(number)).mkdir(parents=True)
    write(tmp_path, "b/c/d/seed0")
    (tmp_path / "b" / "round").symlink_to(tmp_path, target_is_directory=True)
    with pytest.raises(BadInputError, match=r"no import$"):
        load(tmp_path)
    monkeypatch.setattr(instead, "MOST_LOOKED_AT", 10_000)
    with pytest.raises(BadInputError, match="kdgap import"):
        load(tmp_path)


def unlike(number: int, **changes: Any) -> dict[str, Any]:
    """Return a run of a configuration of its own, with its own history."""
    return {"lr": 0.1 + number, "history": history(0.1 + number / 1000), **changes}


CROWDS: dict[str, Callable[[int], dict[str, Any]]] = {
    "configurations": unlike,
    "finals and baselines": lambda n: unlike(n, **(PLAIN if n % 2 else {})),
    "one course": lambda n: {"lr": n, "history": [{**e, "loss_ce": n} for e in history()]},
    "one history": lambda n: {"lr": n},
    "two sets of keys": lambda n: {
        "lr": n, "history": [{**e, "loss_ce": n, "more" if n % 2 else "other": n}
                             for e in history()]},
    "many keys": lambda n: unlike(n, **{f"z{i}": (i * n) % 5 for i in range(20)}),
}  # fmt: skip


@pytest.mark.parametrize("crowd", CROWDS)
def test_work_grows_with_files_and_not_with_pairs_of_them(
    tmp_path: Path, crowd: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = 0
    for module, name in ((copies, "_numbers"), (merging, "_tells_of"), (splits, "_digests"),
                         (splits, "canonical_json"), (splits, "_split")):  # fmt: skip
        real = getattr(module, name)

        def counted(*given: Any, real: Any = real) -> Any:
            nonlocal calls
            calls += 1
            return real(*given)

        monkeypatch.setattr(module, name, counted)
    work = []
    for count in (60, 120, 240):
        folder = tmp_path / str(count)
        for number in range(count):
            write(folder, f"final/x{number}/seed0", **CROWDS[crowd](number))
        calls = 0
        about, _ = import_runs(folder, "x")
        work.append((calls, len(json.dumps(about["findings"]))))
    for few, many in pairwise(work):
        assert many[0] < 2.6 * few[0] + 200
        assert many[1] < 2.6 * few[1] + 2000


def test_more_kinds_of_histories_than_can_be_compared_are_refused(tmp_path: Path) -> None:
    for number in range(30):
        epochs = [{**e, "loss_ce": number, f"key{number}": 1} for e in history()]
        write(tmp_path, f"final/x{number}/seed0", lr=number, history=epochs)
    with pytest.raises(BadInputError, match="over 20 kinds of histories"):
        import_runs(tmp_path, "x")
