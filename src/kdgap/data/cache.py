"""Images are decoded once: the tensors are kept in a cache folder, keyed by the files' content."""

import json
import math
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from kdgap.data.decoded import Decoded, Skipped, fingerprint, fits_in_memory
from kdgap.data.images import Images, StoredImages
from kdgap.data.pixels import decoder_version
from kdgap.data.stored import StoredPixels
from kdgap.data.unusable import unusable
from kdgap.deferred import torch
from kdgap.errors import BadInputError
from kdgap.files import file_hash, make_folder, open_file, parse_json, write_volatile
from kdgap.paths import cache_folder
from kdgap.text import shown

_PARTS = ("train", "test")
_FORMAT = "1"  # raised whenever what a cache file holds changes


def content_key(root: Path, files: Iterable[Path], *parameters: object, skip: bool = False) -> str:
    """Return the cache key of files: their relative names, their bytes, and how they are decoded.

    How they are decoded is the parameters and the versions of what turns bytes into pixels.

    Args:
        root: the folder that their names are relative to.
        files: the files.
        parameters: how they are decoded.
        skip: whether a file that cannot be read is to be skipped; then it counts as empty.

    Raises:
        BadInputError: naming a file that cannot be read.
    """
    digest = sha256("\0".join([_FORMAT, decoder_version(), *map(str, parameters)]).encode())
    problems = []
    for path in files:
        try:
            file_digest = file_hash(path)
        except OSError as error:
            file_digest = "unreadable"
            if not skip:
                problems.append((shown(path), error.strerror or str(error)))
        name = str(path.relative_to(root)).encode("utf-8", "surrogateescape")
        digest.update(name + f"\0{file_digest}\0".encode())
    if problems:
        raise BadInputError(unusable(problems, "files", "repair or remove"))
    return digest.hexdigest()


def cache_path(key: str) -> Path:
    """Return where what was decoded under a key is kept."""
    return cache_folder() / "images" / f"{key}.safetensors"


def decoded_once(key: str, decode: Callable[[], Decoded]) -> Decoded:
    """Return what `decode()` returned for this key before, or call it and keep the result.

    A torn or altered cache file is noticed by its fingerprint and decoded again; a cache folder
    that cannot be written costs time only.
    """
    path = cache_path(key)
    cached = kept(path)
    return keep(path, decode()) if cached is None else cached


def keep(path: Path, decoded: Decoded) -> Decoded:
    """Keep decoded images under a name, if that can be written; return them with fingerprint."""
    from safetensors.torch import save  # here: it loads torch

    decoded = replace(decoded, fingerprint=fingerprint(decoded))
    tensors = {
        "train.pixels": decoded.train.pixels.contiguous(),
        "train.labels": decoded.train.labels,
        "test.pixels": decoded.test.pixels.contiguous(),
        "test.labels": decoded.test.labels,
    }
    with suppress(OSError):
        make_folder(path.parent)
        write_volatile(path, save(tensors, metadata_of(decoded)))
    return decoded


def metadata_of(decoded: Decoded) -> dict[str, str]:
    """Return what a cache file says besides its tensors."""
    return {
        "classes": "\0".join(decoded.classes),
        "source": decoded.source,
        "fingerprint": str(decoded.fingerprint),
        **skipped_text(decoded.skipped),
    }


def skipped_text(skipped: Iterable[Skipped]) -> dict[str, str]:
    """Return what a cache file says of images that were skipped; nothing where none was."""
    entries = [[image.part, image.place, image.reason] for image in skipped]
    return {"skipped": json.dumps(entries)} if entries else {}


def kept(path: Path) -> Decoded | None:
    """Return what a cache file holds, verified; None where there is none or it is torn.

    Images that memory could not hold stay in the file, see `StoredImages`.
    """
    try:
        decoded, written = opened(path)
    except (SafetensorError, OSError, KeyError, ValueError, TypeError, RuntimeError):
        return None
    actual = fingerprint(decoded)
    return replace(decoded, fingerprint=actual) if actual == written else None


def opened(path: Path) -> tuple[Decoded, str | None]:
    """Return what a file holds, not verified, and the fingerprint that it was written with."""
    from safetensors.torch import load_file

    with safe_open(path, framework="pt") as stream:  # which checks the header
        metadata = stream.metadata() or {}
    tensors = load_file(path)  # which maps the file: nothing is copied yet
    train, test = (_images(tensors, part, metadata) for part in _PARTS)
    if not fits_in_memory(len(train) + len(test), math.prod(train.shape)):
        train, test = _stored(path, (train, test), metadata)
    decoded = Decoded(
        train=train,
        test=test,
        classes=tuple(metadata["classes"].split("\0")),
        source=metadata["source"],
        skipped=tuple(Skipped(*entry) for entry in parse_json(metadata.get("skipped", "[]"))),
    )
    return decoded, metadata.get("fingerprint")


def _images(tensors: Mapping[str, Any], part: str, metadata: Mapping[str, str]) -> Images:
    pixels, labels = tensors[f"{part}.pixels"], tensors[f"{part}.labels"]
    if metadata.get("layout") is None:
        return Images(pixels, labels.clone())  # a copy: else the file would stay mapped
    return Images(pixels.permute(0, 3, 1, 2), labels.clone().view(torch.int64))


def _stored(
    path: Path, mapped: tuple[Images, Images], metadata: Mapping[str, str]
) -> tuple[Images, ...]:
    """Return the same images, read from the file where they are asked for."""
    with open_file(path) as stream:
        size = int.from_bytes(stream.read(8), "little")
        header = parse_json(stream.read(size))
    images = []
    for part, own in zip(_PARTS, mapped, strict=True):
        entry = header[f"{part}.pixels"]
        pixels = StoredPixels(
            path,
            8 + size + entry["data_offsets"][0],
            tuple(entry["shape"][1:]),
            channels_last=metadata.get("layout") is not None,
        )
        images.append(StoredImages(pixels, own.labels, torch.arange(len(own))))
    return tuple(images)
