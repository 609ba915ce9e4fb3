"""Images are decoded once: the tensors are kept in a cache folder, keyed by the files' content."""

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

from safetensors import SafetensorError, safe_open

from kdgap.data.dataset import Decoded, Images, fingerprint
from kdgap.data.pixels import decoder_version
from kdgap.data.unusable import unusable
from kdgap.errors import BadInputError
from kdgap.files import file_hash, make_folder, write_volatile
from kdgap.paths import cache_folder
from kdgap.text import shown

_FORMAT = "1"  # raised whenever what a cache file holds changes


def content_key(root: Path, files: Iterable[Path], *parameters: object) -> str:
    """Return the cache key of files: their relative names, their bytes, and how they are decoded.

    How they are decoded is the parameters and the versions of what turns bytes into pixels.

    Raises:
        BadInputError: naming a file that cannot be read.
    """
    digest = sha256("\0".join([_FORMAT, decoder_version(), *map(str, parameters)]).encode())
    problems = []
    for path in files:
        try:
            file_digest = file_hash(path)
        except OSError as error:
            problems.append((shown(path), error.strerror or str(error)))
            continue
        name = str(path.relative_to(root)).encode("utf-8", "surrogateescape")
        digest.update(name + f"\0{file_digest}\0".encode())
    if problems:
        raise BadInputError(unusable(problems, "files", "repair or remove"))
    return digest.hexdigest()


def decoded_once(key: str, decode: Callable[[], Decoded]) -> Decoded:
    """Return what `decode()` returned for this key before, or call it and keep the result.

    A torn or altered cache file is noticed by its fingerprint and decoded again; a cache folder
    that cannot be written costs time only.
    """
    from safetensors.torch import save  # here: it loads torch

    path = cache_folder() / "images" / f"{key}.safetensors"
    cached = _read(path)
    if cached is not None:
        return cached
    decoded = decode()
    decoded = replace(decoded, fingerprint=fingerprint(decoded))
    tensors = {
        "train.pixels": decoded.train.pixels.contiguous(),
        "train.labels": decoded.train.labels,
        "test.pixels": decoded.test.pixels.contiguous(),
        "test.labels": decoded.test.labels,
    }
    metadata = {
        "classes": "\0".join(decoded.classes),
        "source": decoded.source,
        "fingerprint": str(decoded.fingerprint),
    }
    with suppress(OSError):
        make_folder(path.parent)
        write_volatile(path, save(tensors, metadata))
    return decoded


def _read(path: Path) -> Decoded | None:
    from safetensors.torch import load_file

    try:
        with safe_open(path, framework="pt") as stream:
            metadata = stream.metadata() or {}
        tensors = load_file(path)
        decoded = Decoded(
            train=Images(tensors["train.pixels"], tensors["train.labels"]),
            test=Images(tensors["test.pixels"], tensors["test.labels"]),
            classes=tuple(metadata["classes"].split("\0")),
            source=metadata["source"],
        )
    except (SafetensorError, OSError, KeyError):
        return None
    actual = fingerprint(decoded)
    return replace(decoded, fingerprint=actual) if actual == metadata.get("fingerprint") else None
