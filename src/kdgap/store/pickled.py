"""A pickle read as data: nothing that it names is imported, and nothing is called.

`pickletools` takes a pickle apart into its opcodes without running any. `read_pickle` follows them
on a stack of its own and notes what they ask for: a global stays a name (`Named`), and an object
stays the name and the arguments that would have made it (`Construction`). No callable and no
instance of a class that the pickle chose is ever on that stack, so there is nothing that could run.

A dictionary is kept as its pairs, unhashed, for keys may be chosen to collide.
"""

import pickletools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, BinaryIO

MAX_OPCODES = 3_000_000
"""Of all pickles in a file; more than 60,000 tensors or a million numbers take. Some seconds, and
less than 1 GiB."""
_MAX_MEMO = 2**32


class NotReadableError(ValueError):
    """The pickle is damaged or beyond our bounds."""


@dataclass(frozen=True)
class Named:
    """A global that the pickle names, such as `torch._utils._rebuild_tensor_v2`."""

    name: str


@dataclass(eq=False)
class Persistent:
    """What the pickle keeps outside of itself: of torch, a storage."""

    key: Any


@dataclass(eq=False)
class Construction:
    """An object that was not made: what would have made it, and what would have been put into it.

    Attributes:
        maker: what would be called, a `Named` in any pickle that is not hostile.
        arguments: what it would be called with.
        state: what `__setstate__` would be given, or the attributes.
        pairs: what would be set as items, in order.
        members: what would be appended or added.
    """

    maker: Any
    arguments: Any = ()
    state: Any = None
    pairs: list[tuple[Any, Any]] = field(default_factory=list)
    members: list[Any] = field(default_factory=list)


_MARK = object()
_DICT, _SET, _FROZENSET = (Named(f"builtins.{name}") for name in ("dict", "set", "frozenset"))
_INTEGERS = {"INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4"}
_TEXTS = {"UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"}
_BYTES = {"SHORT_BINBYTES", "BINBYTES", "BINBYTES8", "BYTEARRAY8"}
_OLD_TEXTS = {"STRING", "BINSTRING", "SHORT_BINSTRING"}
_VALUES = _INTEGERS | _TEXTS | _BYTES | _OLD_TEXTS | {"FLOAT", "BINFLOAT"}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_FRESH: dict[str, Callable[[], Any]] = {
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
    "EMPTY_DICT": lambda: Construction(_DICT),
    "EMPTY_SET": lambda: Construction(_SET),
}
_NOTHING = frozenset(["PROTO", "FRAME"])


class Budget:
    """The opcodes that the pickles of one file may still have, all together."""

    def __init__(self) -> None:
        self.left = MAX_OPCODES

    def take(self) -> None:
        """Count one opcode.

        Raises:
            NotReadableError: there were too many.
        """
        self.left -= 1
        if self.left < 0:
            raise NotReadableError(f"its pickle has more than {MAX_OPCODES:,} opcodes")


def read_pickle(stream: BinaryIO, budget: Budget | None = None) -> tuple[Any, list[Persistent]]:
    """Read one pickle and leave the stream behind it.

    Args:
        stream: the pickle, at its first byte.
        budget: of its file, where that may hold several.

    Returns:
        The object: numbers, text, bytes, lists, tuples, and the rest as `Named`, `Persistent` and
        `Construction` (a dictionary is one of `builtins.dict`); and all that is persistent in it.

    Raises:
        NotReadableError: the pickle is torn, contradicts itself, or is too long.
    """
    machine, budget = _Machine(), budget or Budget()
    try:
        for opcode, value, _ in pickletools.genops(stream):
            budget.take()
            machine.follow(opcode.name, value)
        return machine.stack.pop(), machine.persistent
    except NotReadableError:
        raise
    except (ValueError, TypeError, IndexError, KeyError, AttributeError, OverflowError):
        raise NotReadableError("its pickle is damaged") from None


class _Machine:
    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.persistent: list[Persistent] = []

    def follow(self, name: str, value: Any) -> None:
        """Follow one opcode."""
        stack = self.stack
        if name in _VALUES:
            stack.append(value)
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in _FRESH:
            stack.append(_FRESH[name]())
        elif name not in _NOTHING:
            handler: Callable[[Any], None] | None = getattr(self, f"_{name.lower()}", None)
            if handler is None:
                raise NotReadableError(f"its pickle has the opcode {name}, which none of torch has")
            handler(value)

    def _marked(self) -> list[Any]:
        """Take what is above the last mark, and the mark."""
        stack = self.stack
        for index in range(len(stack) - 1, -1, -1):
            if stack[index] is _MARK:
                taken = stack[index + 1 :]
                del stack[index:]
                return taken
        raise NotReadableError("its pickle is damaged")

    def _mark(self, _: Any) -> None:
        self.stack.append(_MARK)

    def _stop(self, _: Any) -> None:
        pass

    def _pop(self, _: Any) -> None:
        self.stack.pop()

    def _pop_mark(self, _: Any) -> None:
        self._marked()

    def _dup(self, _: Any) -> None:
        self.stack.append(self.stack[-1])

    # Names and objects

    def _global(self, value: str) -> None:
        module, _, name = value.partition(" ")
        self.stack.append(Named(f"{module}.{name}"))

    def _stack_global(self, _: Any) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        if not (isinstance(name, str) and isinstance(module, str)):
            raise NotReadableError("its pickle is damaged")
        self.stack.append(Named(f"{module}.{name}"))

    def _reduce(self, _: Any) -> None:
        arguments, maker = self.stack.pop(), self.stack.pop()
        self.stack.append(Construction(maker, arguments))

    _newobj = _reduce

    def _newobj_ex(self, _: Any) -> None:
        named, arguments, maker = self.stack.pop(), self.stack.pop(), self.stack.pop()
        self.stack.append(Construction(maker, (arguments, named)))

    def _obj(self, _: Any) -> None:
        maker, *arguments = self._marked()
        self.stack.append(Construction(maker, tuple(arguments)))

    def _inst(self, value: str) -> None:
        arguments = tuple(self._marked())
        self._global(value)
        self.stack.append(Construction(self.stack.pop(), arguments))

    def _build(self, _: Any) -> None:
        state = self.stack.pop()
        self._construction().state = state

    def _persid(self, value: Any) -> None:
        self.persistent.append(Persistent(value))
        self.stack.append(self.persistent[-1])

    def _binpersid(self, _: Any) -> None:
        self._persid(self.stack.pop())

    # Containers

    def _construction(self) -> Construction:
        top = self.stack[-1]
        if not isinstance(top, Construction):
            raise NotReadableError("its pickle is damaged")
        return top

    def _setitem(self, _: Any) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._construction().pairs.append((key, value))

    def _setitems(self, _: Any) -> None:
        taken = self._marked()
        self._construction().pairs.extend(zip(taken[::2], taken[1::2], strict=True))

    def _extend(self, taken: list[Any]) -> None:
        top = self.stack[-1]
        (top if isinstance(top, list) else self._construction().members).extend(taken)

    def _append(self, _: Any) -> None:
        self._extend([self.stack.pop()])

    def _appends(self, _: Any) -> None:
        self._extend(self._marked())

    _additems = _appends

    def _list(self, _: Any) -> None:
        self.stack.append(self._marked())

    def _dict(self, _: Any) -> None:
        taken = self._marked()
        self.stack.append(
            Construction(_DICT, pairs=list(zip(taken[::2], taken[1::2], strict=True)))
        )

    def _frozenset(self, _: Any) -> None:
        self.stack.append(Construction(_FROZENSET, members=self._marked()))

    def _tuple(self, _: Any) -> None:
        self.stack.append(tuple(self._marked()))

    def _last(self, count: int) -> None:
        taken = tuple(self.stack[-count:])
        if len(taken) < count:
            raise NotReadableError("its pickle is damaged")
        self.stack[-count:] = [taken]

    def _tuple1(self, _: Any) -> None:
        self._last(1)

    def _tuple2(self, _: Any) -> None:
        self._last(2)

    def _tuple3(self, _: Any) -> None:
        self._last(3)

    # The memo

    def _put(self, index: int) -> None:
        if not 0 <= index < _MAX_MEMO:  # larger numbers can be chosen to collide
            raise NotReadableError("its pickle is damaged")
        self.memo[index] = self.stack[-1]

    _binput = _long_binput = _put

    def _memoize(self, _: Any) -> None:
        self.memo[len(self.memo)] = self.stack[-1]

    def _get(self, index: int) -> None:
        self.stack.append(self.memo[index])

    _binget = _long_binget = _get
