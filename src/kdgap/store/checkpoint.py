"""What torch and numpy mean by the objects of a pickle: tensors, and where their numbers lie.

Everything is looked up in the inert tree of `pickled`; what is not known here stays what it is, a
name and some values.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from io import BytesIO
from math import prod
from struct import unpack
from typing import Any, BinaryIO

from kdgap.store.pickled import (
    Budget,
    Construction,
    Named,
    NotReadableError,
    Persistent,
    read_pickle,
)
from kdgap.store.stored_tensor import StoredTensor
from kdgap.store.tensorfile import BYTES, MAX_TENSORS

_MAGIC, _PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
"""How torch's older format begins (`torch.serialization`)."""
_MAX_DEPTH = 64
MAX_NAME = 500
"""Characters of a path; none of a network of ours has 100."""
_MAX_ENCODED = 2**28
"""Bytes of tensors within a pickle: one may be named many times."""
_MAX_PARTS = 12_000_000
"""Parts of objects that are looked at: several times what there are, for few bytes of a pickle can
give one list to a million objects."""
_MAX_DIMENSIONS = 32
_TRANSPARENT = ("_parameters", "_buffers", "_modules")
"""Where a whole pickled module keeps what its state names without these words."""
_STORAGES = {
    "Double": "F64",
    "Float": "F32",
    "Half": "F16",
    "BFloat16": "BF16",
    "Bool": "BOOL",
    "Long": "I64",
    "Int": "I32",
    "Short": "I16",
    "Char": "I8",
    "Byte": "U8",
    "ComplexFloat": "C64",
}
_DTYPES = {
    "float64": "F64",
    "float32": "F32",
    "float16": "F16",
    "bfloat16": "BF16",
    "bool": "BOOL",
    "int64": "I64",
    "int32": "I32",
    "int16": "I16",
    "int8": "I8",
    "uint8": "U8",
    "uint64": "U64",
    "uint32": "U32",
    "uint16": "U16",
    "complex64": "C64",
    "float8_e4m3fn": "F8_E4M3",
    "float8_e5m2": "F8_E5M2",
}
_NUMPY = {
    "f8": "F64",
    "f4": "F32",
    "f2": "F16",
    "b1": "BOOL",
    "c8": "C64",
    "i8": "I64",
    "i4": "I32",
    "i2": "I16",
    "i1": "I8",
    "u8": "U64",
    "u4": "U32",
    "u2": "U16",
    "u1": "U8",
}
_OF_TENSORS = {f"torch._utils._rebuild_tensor{version}" for version in ("", "_v2", "_v3")}
_OF_WRAPPERS = {
    "torch._utils._rebuild_parameter",
    "torch._utils._rebuild_parameter_with_state",
    "torch._utils._rebuild_device_tensor_from_cpu_tensor",
}
_PLAIN = {"builtins.dict", "collections.OrderedDict", "collections.defaultdict"}
_PLAIN |= {f"numpy.{core}.multiarray.scalar" for core in ("core", "_core")}


BRANCHES = (Construction, list, tuple)


@dataclass(frozen=True)
class Loaded:
    """A pickle and the storages that it refers to.

    Attributes:
        root: the object.
        storages: first byte and length of each in the file, by key.
        encoded: storages that the pickle itself holds, by the identity of what encodes them, with
            their bytes.
        budget: what the pickles of this file may still have.
    """

    root: Any
    storages: dict[str, tuple[int, int]] = field(default_factory=dict)
    encoded: dict[int, tuple[bytes, "Loaded"]] = field(default_factory=dict)
    budget: Budget = field(default_factory=Budget)


def read_bare(stream: BinaryIO, budget: Budget | None = None) -> Loaded:
    """Read a pickle without an archive: torch's older format, or any other.

    Args:
        stream: the pickle, at its first byte.
        budget: of the file that holds it, where this is not all of a file.

    Raises:
        NotReadableError: it is damaged or beyond our bounds.
    """
    budget = budget or Budget()
    root, _ = read_pickle(stream, budget)
    if root != _MAGIC:
        return Loaded(root, budget=budget)
    if read_pickle(stream, budget)[0] != _PROTOCOL:
        raise NotReadableError("is of an unknown version of torch's older format")
    machine, _ = read_pickle(stream, budget)
    if ("little_endian", True) not in getattr(machine, "pairs", ()):
        raise NotReadableError("its numbers are big-endian")
    root, persistent = read_pickle(stream, budget)
    keys, _ = read_pickle(stream, budget)
    sizes = {key: BYTES[dtype] for key, dtype, _ in filter(None, map(_storage, persistent))}
    storages = {}
    for key in keys if isinstance(keys, list) else ():
        head = stream.read(8)
        # To ask for the hash of anything else may take for ever: of pairs of pairs of pairs.
        if not isinstance(key, str) or key not in sizes or len(head) < 8:
            raise NotReadableError("its storages are not those that its pickle names")
        length = unpack("<q", head)[0] * sizes[key]
        if not _sizes((length,)):
            raise NotReadableError("a storage of it has a length that none has")
        storages[key] = (stream.tell(), length)
        stream.seek(length, 1)
    return Loaded(root, storages, budget=budget)


def _storage(value: Any) -> tuple[str, str, int] | None:
    """Return key, type, and the offset in elements, of a storage; None for anything else."""
    match value:
        case Persistent(tuple(about)) if len(about) > 6:
            return None
        case Persistent(("storage", Named(name), str(key), _, int(), *view)):
            kind = name.rpartition(".")[2].removesuffix("Storage")
            dtype = "U8" if kind == "Untyped" else _STORAGES.get(kind)
            offset = 0
            match view:
                case [(_, int(offset), int())] if offset >= 0:
                    pass
            return None if dtype is None else (key, dtype, offset)
    return None


def tensors_in(loaded: Loaded) -> Iterator[StoredTensor]:
    """Yield every tensor and array, with the path of keys, attributes and positions to it.

    Raises:
        NotReadableError: there are more than `MAX_TENSORS`, too many bytes of encoded ones, or too
            many parts of objects.
    """
    seen: set[int] = set()
    count = encoded = looked_at = 0
    waiting: list[tuple[tuple[str, ...], Any]] = [((), loaded.root)]
    while waiting:
        path, value = waiting.pop()
        tensor = _tensor(loaded, path, value) or _array(path, value)
        if tensor is not None:
            count += 1
            encoded += len(tensor.content or b"")
            if encoded > _MAX_ENCODED:
                raise NotReadableError(f"encodes more than {_MAX_ENCODED:,} bytes of tensors")
            if count > MAX_TENSORS:
                raise NotReadableError(f"holds more than {MAX_TENSORS:,} tensors")
            yield tensor
        elif isinstance(value, BRANCHES) and id(value) not in seen:
            seen.add(id(value))  # what is shared is looked at once, and no circle is followed
            parts = []
            for key, part in parts_of(value):
                looked_at += 1
                if isinstance(part, BRANCHES) and id(part) not in seen:
                    parts.append((key, part))
            if looked_at > _MAX_PARTS:
                raise NotReadableError(f"its objects have more than {_MAX_PARTS:,} parts")
            below = [(_step(path, key), part) for key, part in reversed(parts)]
            waiting += [(way, part) for way, part in below if way is not None]


def _step(path: tuple[str, ...], key: Any) -> tuple[str, ...] | None:
    if key in _TRANSPARENT:
        return path
    if not (isinstance(key, str) or _sizes((key,))) or len(path) >= _MAX_DEPTH:
        return None
    way = (*path, str(key))
    return way if sum(map(len, way)) <= MAX_NAME else None


def parts_of(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield what a container or an object holds, with its key, attribute or position."""
    if not isinstance(value, Construction):
        yield from enumerate(value)
        return
    yield from value.pairs
    yield from enumerate(value.members)
    match value.arguments:  # what came with Python 2: OrderedDict([[key, value], ...])
        case ([[str(), _], *_] as pairs,):
            for pair in pairs:  # what is no pair is a part as well, and counted as one
                yield tuple(pair) if isinstance(pair, list) and len(pair) == 2 else (None, None)
        case list() | tuple():
            yield from enumerate(value.arguments)
    # Attributes: a dictionary, or a pair of one and of another for slots.
    states = value.state[:2] if isinstance(value.state, tuple) else (value.state,)
    for state in states:
        if isinstance(state, Construction):
            yield from state.pairs


def others_in(loaded: Loaded, tensors: list[StoredTensor]) -> list[str]:
    """Return the names at the top under which there is no tensor, with the kind of objects."""
    held = {tensor.path[0] for tensor in tensors if tensor.path}
    named = []
    for key, value in parts_of(loaded.root) if isinstance(loaded.root, Construction) else ():
        if isinstance(key, str) and len(key) <= MAX_NAME and key not in held:
            maker = value.maker if isinstance(value, Construction) else None
            known = not isinstance(maker, Named) or maker.name in _PLAIN
            named.append(key if known else f"{key} ({maker.name[:MAX_NAME]})")  # type: ignore[union-attr]
    return named


def _tensor(loaded: Loaded, path: tuple[str, ...], value: Any) -> StoredTensor | None:
    for _ in range(4):  # a parameter of a subclass of a tensor is two deep
        match value:
            case Construction(Named(name), (inner, *_)) if name in _OF_WRAPPERS:
                value = inner
            case Construction(
                Named("torch._tensor._rebuild_from_type_v2"), (maker, _, arguments, _)
            ):
                value = Construction(maker, arguments)
    if isinstance(value, Construction) and _is_long(value.arguments):
        return None
    match value:
        case Construction(
            Named(name), (storage, int(offset), tuple(shape), tuple(stride), *more)
        ) if name in _OF_TENSORS:
            content, places = None, loaded.storages
            match storage:
                case Construction(Named("torch.storage._load_from_bytes"), (encoded,)):
                    # A few bytes of a pickle can name what it holds once again and again.
                    if id(encoded) not in loaded.encoded:
                        content = _bytes(encoded) or b""
                        inner = read_bare(BytesIO(content), loaded.budget)
                        loaded.encoded[id(encoded)] = content, inner
                    content, inner = loaded.encoded[id(encoded)]
                    storage, places = inner.root, inner.storages
            known = _storage(storage)
            if known is None:
                return None
            key, dtype, shift = known
            match more:
                case [_, _, Named(kind), *_] if name.endswith("_v3"):
                    dtype = _DTYPES.get(kind.removeprefix("torch."), "")
            if (
                dtype not in BYTES
                or not (_sizes((offset,)) and _sizes(shape) and _sizes(stride))
                or len(shape) != len(stride)
            ):
                return None
            begin, length = places.get(key, (0, 0))
            skipped = (offset + shift) * BYTES[dtype]
            start, room = begin + skipped, max(0, length - skipped)
            tensor = StoredTensor(path, dtype, shape, stride, start, room)
            if content is not None:
                content = content[start : start + min(room, tensor.extent)]
                return replace(tensor, start=0, room=len(content), content=content)
            return tensor
    return None


def _is_long(arguments: Any) -> bool:
    """Whether these are more than a tensor has: to match them would copy them each time."""
    return isinstance(arguments, list | tuple) and len(arguments) > 16


def _sizes(numbers: tuple[Any, ...]) -> bool:
    fits = len(numbers) <= _MAX_DIMENSIONS
    return fits and all(type(n) is int and 0 <= n < 2**40 for n in numbers)


def _array(path: tuple[str, ...], value: Any) -> StoredTensor | None:
    match value:
        case Construction(Named(name), _, (_, tuple(shape), kind, bool(turned), data)) if (
            name.endswith("multiarray._reconstruct")
        ):
            pass
        case Construction(Named(name), (data, kind, tuple(shape), order)) if name.endswith(
            "._frombuffer"
        ):
            turned = order == "F"
        case _:
            return None
    match kind:
        case Construction(Named("numpy.dtype"), (str(code), *_), (_, "<" | "|" | "=", *_)):
            dtype = _NUMPY.get(code)
        case _:
            return None
    if dtype is None or not _sizes(shape):
        return None
    axes = range(len(shape))
    stride = tuple(prod(shape[:axis] if turned else shape[axis + 1 :]) for axis in axes)
    tensor = StoredTensor(path, dtype, shape, stride, 0, 0)
    content = _bytes(data, tensor.extent)
    return None if content is None else replace(tensor, room=len(content), content=content)


def _bytes(value: Any, most: int | None = None) -> bytes | None:
    """Return bytes, at most so many of them; protocols below 3 write them as text."""
    match value:
        case bytes() | bytearray():
            return bytes(value[:most])
        case Construction(Named("_codecs.encode"), (str(text), "latin1")):
            return text[:most].encode("latin1", "replace")
    return None
