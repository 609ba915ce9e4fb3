"""Odd JSON through the gate, odd members in archives: named or refused in words."""

import io
import json
import tarfile
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kdgap.errors import BadInputError
from kdgap.files import json_text
from kdgap.store.imports.foreign import settings_of
from kdgap.store.imports.gate import (
    OddFileError,
    check_fidelity,
    check_history,
    check_outcomes,
    check_settings,
    read_finite,
    read_object,
)
from kdgap.store.imports.imported import import_runs
from kdgap.store.imports.own_names import check_names
from kdgap.store.imports.percent import from_percent
from tests.store.foreign_files import FIDELITY, FINAL, history

NAMED = (
    "model kd_type teacher seed epochs alpha temperature feat_beta stem width data best_val_acc"
    " test_acc_best best_val_epoch history flags role val_acc train_acc epoch loss_ce per_class_acc"
    " top1_agreement kl_t1 term_grad_norm gpu lr zeta config"
)
KEYS = st.sampled_from(NAMED.split())
SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
    | st.sampled_from(["none", "logit", "resnet18", 0.9, 1, 95.2, 10**30, 1e308])
)  # fmt: skip
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS | st.text(max_size=3), inner),
    max_leaves=12,
)
RESULT = {
    "model": "resnet18", "teacher": "resnet50", "kd_type": "logit", "alpha": 0.5, "epochs": 3,
    "seed": 0, "best_val_acc": 0.903, "best_val_epoch": 3, "test_acc_best": 0.8,
    "test_acc_final": 0.81, "history": history(),
}  # fmt: skip
quietly = settings(max_examples=150, suppress_health_check=list(HealthCheck))


def refusal(work: Callable[[], object]) -> str:
    """Return what is said of what cannot be read: one line; empty where it was read."""
    try:
        work()
    except (OddFileError, BadInputError) as error:
        text = str(error)
    else:
        return ""
    assert text
    assert "\n" not in text
    return text


def checked(content: bytes, percent: bool) -> None:
    """Take what a file says through the gate; what passes can be written."""
    results = read_object(content)
    if percent:
        from_percent(results)
    epochs = results.get("history")
    if isinstance(epochs, list) and all(isinstance(entry, dict) for entry in epochs):
        json_text(check_history(epochs)[0])
    check_settings(results)
    check_names(results)
    check_outcomes(results)
    json_text(settings_of(results))


def checked_fidelity(content: bytes) -> None:
    fidelity = read_object(content)
    check_fidelity(fidelity)
    json_text(fidelity)


@quietly
@given(st.dictionaries(KEYS | st.text(max_size=4), VALUES), st.booleans(), st.booleans())
def test_any_object_passes_the_gate_or_is_named(
    changes: dict[str, Any], over: bool, percent: bool
) -> None:
    content = json.dumps({**(RESULT if over else {}), **changes}).encode()
    refusal(lambda: checked(content, percent))
    refusal(lambda: checked_fidelity(content))


@quietly
@given(st.binary(max_size=60) | st.text(max_size=30).map(lambda text: text.encode()))
def test_any_bytes_are_an_object_or_named(content: bytes) -> None:
    refusal(lambda: json.dumps(read_object(content)))
    refusal(lambda: json_text(read_finite(content)))


NAMES = st.sampled_from(
    [
        *(f"{FINAL}/results.json", f"{FINAL}/fidelity.json", "results.json", "/results.json"),
        *("../../results.json", "./a//results.json", "a\\results.json", "C:\\a\\results.json"),
        *("a/.git/results.json", "__MACOSX/a/._results.json", "a/results.json.gz", "a.zip", "a/"),
        *("a/b\x1b]0;x\x07/results.json", "a/\u202e/results.json", "a\n/results.json", "", "."),
        *(f"{'x' * 300}/results.json", "é/results.json", "model.pth", "a/seed3/", "a/seed4"),
    ]
)
CONTENTS = st.sampled_from(
    [json.dumps(RESULT).encode(),
     json.dumps(RESULT | {"seed": 1, "history": history(0.1)}).encode(),
     json.dumps(FIDELITY).encode(), b"", b"{", b"\xff\xfe", b"\xef\xbb\xbf{}", b"[" * 200]
)  # fmt: skip
KINDS = st.sampled_from(
    [tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, b"z"]
)
MODES = st.sampled_from([0o100644, 0o040755, 0o120777, 0o010644, 0])
MEMBERS = st.lists(st.tuples(NAMES, CONTENTS, KINDS, MODES), max_size=6)
METHODS = st.sampled_from([0, 8, 12, 14])


def pack(path: Path, members: list[tuple[str, bytes, bytes, int]], method: int) -> None:
    if path.suffix == ".zip":
        with warnings.catch_warnings(), zipfile.ZipFile(path, "w", method) as archive:
            warnings.simplefilter("ignore")
            for name, content, _, mode in members:
                member = zipfile.ZipInfo(name or "x")
                member.external_attr = mode << 16
                archive.writestr(member, content, method)
        return
    with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w") as tar:
        for name, content, kind, _ in members:
            info = tarfile.TarInfo(name or "x")
            info.type, info.linkname = kind, "../../etc/passwd"
            info.size = len(content) if kind in (tarfile.REGTYPE, b"z") else 0
            tar.addfile(info, io.BytesIO(content))


@pytest.mark.parametrize("name", ["x.zip", "x.tar", "x.tar.gz"])
@settings(quietly, max_examples=60)
@given(MEMBERS, METHODS, st.lists(st.tuples(st.floats(0, 0.999), st.integers(1, 255)), max_size=3))
def test_any_archive_is_read_or_refused_and_writes_nothing(
    name: str, members: list[Any], method: int, flips: list[tuple[float, int]]
) -> None:
    with TemporaryDirectory() as folder:
        source = Path(folder) / name
        pack(source, members, method)
        content = bytearray(source.read_bytes())
        for where, change in flips:
            content[int(where * len(content))] ^= change
        source.write_bytes(content)
        got: list[Any] = []
        refused = refusal(lambda: got.extend(import_runs(source, "x")))
        if not refused:
            json_text(got).encode()
        if not refused and not flips:
            about, runs = got
            seen = {path for run in runs for path in run["paths"]}
            seen |= {path for f in about["findings"] for path in f["paths"]}
            wanted = {m[0].replace("\\", "/") for m in members if m[0].endswith("results.json")}
            assert runs
            assert {path for path in wanted if not is_within(path, seen)} == set()
        assert [path.name for path in Path(folder).iterdir()] == [name]


def is_within(path: str, seen: set[str]) -> bool:
    """Whether a path, or a folder that it stands in, was seen."""
    whole = PurePosixPath(path.lstrip("/"))
    return any(whole.is_relative_to(PurePosixPath(seen_path.lstrip("/"))) for seen_path in seen)
