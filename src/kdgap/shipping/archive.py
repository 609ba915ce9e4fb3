"""A `.pt2` archive, read without executing anything that stands in it.

`torch.export.load` (torch 2.14, `torch/export/pt2_archive/_package.py` and
`torch/_export/serde/serialize.py`) executes what a file asks for, in four ways: the example inputs
are unpickled, with `weights_only=False` where that fails; so is every weight and constant that is
marked `use_pickle`; shapes go through `sympy.sympify`, which evaluates Python; and names of
functions are looked up from `torch` on, which leads to `torch.os.system`. Guards are compiled, too.

So torch never sees the file. Of it we read its zip directory, its JSON and the raw bytes of
tensors; what is not expected is refused; and from what is left a new archive is made, with example
inputs of our own, which torch then loads. What a graph may ask for is in `graph.py`.
"""

import io
import re
import zipfile
from typing import Any

import torch

from kdgap.errors import BadInputError, one_line
from kdgap.files import json_text, parse_json
from kdgap.shipping.deployed import quiet
from kdgap.shipping.facts import KEY, Facts
from kdgap.shipping.graph import GraphError, checked_config, checked_program

MOST_BYTES = 8 * 2**30
"""Of all that is in an archive."""
MOST_TEXT = 16 * 2**20
"""Of a JSON document in it."""
MOST_MEMBERS = 65_536
_WEIGHTS, _CONSTANTS = "data/weights/", "data/constants/"
_MODEL, _FACTS = "models/model.json", f"extra/{KEY}"
_WEIGHTS_CONFIG = f"{_WEIGHTS}model_weights_config.json"
_CONSTANTS_CONFIG = f"{_CONSTANTS}model_constants_config.json"
_EXAMPLE = "data/sample_inputs/model.pt"
_PASSED_OVER = {"archive_format", "archive_version", ".data/version", "byteorder"}
_PASSED_OVER |= {".data/serialization_id", _EXAMPLE}
_TENSOR = re.compile(r"data/(?:weights/weight|constants/tensor)_[0-9]{1,6}")


class ArchiveError(ValueError):
    """What is wrong with an archive, in words that follow its name."""


def facts_text(content: bytes) -> str | None:
    """Return what an archive says of itself; None if it says nothing.

    Raises:
        ArchiveError: it is no archive that is read here.
    """
    with _opened(content) as archive:
        members = _members(archive, len(content))
        return _text(archive, members[_FACTS]) if _FACTS in members else None


def rebuilt(content: bytes, example: torch.Tensor) -> bytes:
    """Return an archive that holds the checked parts of another, and nothing else of it.

    Args:
        content: the other archive.
        example: an input of its graph.

    Raises:
        ArchiveError: something in it is not expected.
    """
    with _opened(content) as archive:
        members = _members(archive, len(content))
        for name in (_MODEL, _WEIGHTS_CONFIG, _CONSTANTS_CONFIG):
            if name not in members:
                raise ArchiveError(f"{name} is missing in it")
        sizes = {name: info.file_size for name, info in members.items()}
        documents = {
            _MODEL: checked_program(_json(archive, members[_MODEL])),
            _WEIGHTS_CONFIG: checked_config(
                _json(archive, members[_WEIGHTS_CONFIG]), _WEIGHTS, "weight_", sizes
            ),
            _CONSTANTS_CONFIG: checked_config(
                _json(archive, members[_CONSTANTS_CONFIG]), _CONSTANTS, "tensor_", sizes
            ),
        }
        tensors = {name: info for name, info in members.items() if _TENSOR.fullmatch(name)}
        return _written(archive, documents, tensors, example)


def _written(
    archive: zipfile.ZipFile,
    documents: dict[str, Any],
    tensors: dict[str, zipfile.ZipInfo],
    example: torch.Tensor,
) -> bytes:
    from torch.export.pt2_archive import PT2ArchiveWriter

    inputs = io.BytesIO()
    torch.save(((example,), {}), inputs)
    out = io.BytesIO()
    with PT2ArchiveWriter(out) as writer:
        record = writer.archive_file.write_record
        for name, document in documents.items():
            text = json_text(document, indent=None).encode()
            record(name, text, len(text))
        for name, info in tensors.items():
            record(name, _read(archive, info), info.file_size)
        record(_EXAMPLE, inputs.getvalue(), inputs.tell())
    return out.getvalue()


def _opened(content: bytes) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(io.BytesIO(content))
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise ArchiveError(f"is no .pt2 archive ({one_line(error, 80)})") from None


def _members(archive: zipfile.ZipFile, size: int) -> dict[str, zipfile.ZipInfo]:
    """Return what is in an archive of `size` bytes by name, without the folder that it is in."""
    members: dict[str, zipfile.ZipInfo] = {}
    roots = set()
    if len(archive.infolist()) > MOST_MEMBERS:
        raise ArchiveError(f"holds more than {MOST_MEMBERS:,} members")
    for info in archive.infolist():
        root, _, name = info.filename.partition("/")
        roots.add(root)
        if name in members or len(roots) > 1:
            raise ArchiveError("is no .pt2 archive of one model (names in it)")
        if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1:
            raise ArchiveError("is packed or encrypted, as torch writes none")
        known = name in {_MODEL, _FACTS, _WEIGHTS_CONFIG, _CONSTANTS_CONFIG} | _PASSED_OVER
        if not (known or _TENSOR.fullmatch(name)):
            raise ArchiveError(
                f"holds {one_line(name, 80)!r}, which kdgap does not load; export it anew, or use"
                " its .onnx"
            )
        members[name] = info
    unpacked = sum(info.file_size for info in members.values())
    if unpacked > MOST_BYTES:
        raise ArchiveError(f"holds more than {MOST_BYTES:,} bytes")
    if unpacked > size:  # of what is not packed: they lie one within the other
        raise ArchiveError(f"holds {unpacked:,} bytes in {size:,}")
    return members


def _read(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    try:
        return archive.read(info)
    except (zipfile.BadZipFile, EOFError, OSError, NotImplementedError) as error:
        raise ArchiveError(f"is damaged ({one_line(error, 80)})") from None


def _text(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> str:
    if info.file_size > MOST_TEXT:
        raise ArchiveError(f"holds a text of {info.file_size:,} bytes")
    try:
        return _read(archive, info).decode()
    except UnicodeDecodeError:
        raise ArchiveError("holds a text that is not UTF-8") from None


def _json(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Any:
    try:
        return parse_json(_text(archive, info))
    except (ValueError, RecursionError) as error:
        if isinstance(error, ArchiveError):
            raise
        raise ArchiveError(f"holds a bad document ({one_line(error, 80)})") from None


def program_bytes(program: torch.export.ExportedProgram, facts: Facts) -> bytes:
    """Return the content of a `.pt2` archive that says what it is."""
    out = io.BytesIO()
    with quiet():
        torch.export.save(program, out, extra_files={KEY: facts.model_dump_json()})
    return out.getvalue()


def load_program(content: bytes, example: torch.Tensor, where: str) -> torch.nn.Module:
    """Return the network in a `.pt2` archive, as a module.

    Args:
        content: the archive.
        example: an input of its graph.
        where: its name, for messages.

    Raises:
        BadInputError: something in it is not expected, or torch cannot load it.
    """
    try:
        clean = rebuilt(content, example)
    except (ArchiveError, GraphError) as error:
        raise BadInputError(f"{where}: {error}") from None
    except RecursionError:
        raise BadInputError(f"{where}: holds a document of too many levels") from None
    try:
        with quiet():
            module = torch.export.load(io.BytesIO(clean)).module()
    except Exception as error:  # noqa: BLE001  (a graph that fits nothing finds every error)
        reason = one_line(error, 160) or type(error).__name__
        raise BadInputError(
            f"{where}: torch {torch.__version__} cannot load it ({reason}); export it anew with"
            " this torch, or use its .onnx"
        ) from None
    return module
