"""The manifest of a run directory: the SHA-256 of every file that is promised, written last."""

import hashlib
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from kdgap.errors import StoreDamagedError, UnreadableError, not_read
from kdgap.files import file_hash, read_bytes, read_json
from kdgap.store.schema.gate import Manifest, checked
from kdgap.store.seal import opened, write_sealed

RUN, HISTORY, RESULTS, TEST = "run.json", "history.jsonl", "results.json", "test.json"
BEST, LAST = "checkpoint_best.safetensors", "checkpoint_last.safetensors"
MANIFEST = "manifest.json"
ELSEWHERE = ".elsewhere"
"""In a mirrored run's folder: which of its large files are kept at the study's URL alone."""
PREDICTIONS_VAL, PREDICTIONS_TEST = "predictions_val.safetensors", "predictions_test.safetensors"
REQUIRED = (RUN, HISTORY, RESULTS, BEST, LAST)
WEIGHTS = (BEST, LAST)
PREDICTIONS = (PREDICTIONS_VAL, PREDICTIONS_TEST)
"""Which runs of before do not have."""
COMMITTED = (*REQUIRED, TEST, *PREDICTIONS)
LARGE = (*WEIGHTS, *PREDICTIONS)
"""Left where a study at a URL is kept, and hashed only if asked."""


def read_manifest(folder: Path) -> Manifest:
    """Return the manifest of a run directory; see `as_manifest`."""
    path = folder / MANIFEST
    return as_manifest(read_json(path), path)


def as_manifest(content: Any, path: Path) -> Manifest:
    """Return what was read from `path` as the manifest of a run directory.

    Raises:
        StoreDamagedError: it is damaged, names what is no file of a run, or leaves one out.
    """
    manifest = checked(Manifest, opened(content, path), path)
    for name in REQUIRED:
        if name not in manifest.files and not (name in WEIGHTS and name in manifest.dropped):
            raise StoreDamagedError(f"{path}: does not vouch for {name}")
    for name in manifest.files:
        if name not in COMMITTED:
            raise StoreDamagedError(f"{path}: names {name!r}")
    return manifest


def write_manifest(
    folder: Path,
    files: dict[str, str],
    dropped: dict[str, str],
    before: dict[str, str] | None = None,
) -> None:
    """Write the manifest of a run directory.

    Args:
        folder: the run directory.
        files: SHA-256 by name.
        dropped: those of weights that were deleted.
        before: of files that are about to be replaced, what they still hold.
    """
    files = {name: files[name] for name in COMMITTED if name in files}
    parts = {"files": files, "dropped": dropped, "before": before}
    kept = {key: value for key, value in parts.items() if value or key == "files"}
    write_sealed(folder / MANIFEST, kept)


def about_to_replace(
    folder: Path, names: Iterable[str]
) -> tuple[dict[str, str], dict[str, str], dict[str, str]]:
    """Return `files` and `dropped` of the manifest, and what those of these names hold now.

    Raises:
        StoreDamagedError: one of them is not what the manifest vouches for.
    """
    old, before = read_manifest(folder), dict[str, str]()
    for name in sorted(old.files.keys() & set(names)):
        away = name in LARGE and not (folder / name).exists() and elsewhere(folder, name)
        before[name] = old.files[name] if away else file_hash(folder / name)
        if before[name] not in (old.files[name], old.before.get(name)):
            raise StoreDamagedError(f"{folder / name}: changed after it was finished")
    return dict(old.files), dict(old.dropped), before


def verified(folder: Path, manifest: Manifest, *, hash_weights: bool) -> dict[str, bytes]:
    """Check every file; return what the small ones hold, so that what is parsed was hashed.

    Args:
        folder: the run directory.
        manifest: what vouches for its files.
        hash_weights: also hash the weights and predictions; else they only have to be there.

    Raises:
        StoreDamagedError: a file is missing, torn or was changed.
        UnreadableError: a file is there and cannot be read.
    """
    contents: dict[str, bytes] = {}
    for name, expected in manifest.files.items():
        path = folder / name
        if name in LARGE and not path.exists() and (place := elsewhere(folder, name)):
            if hash_weights and name in WEIGHTS:
                raise UnreadableError(f"{path}: is kept at {place}")
            continue
        if name in LARGE and not hash_weights and path.exists():
            continue
        try:
            if name in LARGE:
                digest = file_hash(path)
            else:
                contents[name] = read_bytes(path)
                digest = hashlib.sha256(contents[name]).hexdigest()
        except OSError as error:
            raise not_read(path, error) from None
        if digest not in (expected, manifest.before.get(name)):
            raise StoreDamagedError(f"{path}: changed after the run was finished")
    return contents


def elsewhere(folder: Path, name: str) -> str:
    """Return where a run's file is kept that is not here; empty if nothing says so."""
    with suppress(StoreDamagedError):
        known = read_json(folder / ELSEWHERE)
        if isinstance(known, dict) and name in known.get("files", ()):
            return f"{known.get('at')}/{name}"
    return ""
