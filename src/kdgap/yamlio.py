"""Strict YAML: what looks like a number is one, what looks like a truth value is one, or it fails.

PyYAML follows YAML 1.1, where `1e-3` is a string, `no` is false, `010` is eight and `12:30:45` is
a number in base sixty; it also lets a later duplicate key win. This reader follows the YAML 1.2
core rules instead, keeps the line of every key, and refuses what a configuration never needs:
duplicate keys, anchors and aliases, tags, and deep nesting.
"""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from kdgap.errors import BadInputError, one_line
from kdgap.files import decode_text, open_file

MAX_BYTES = 64_000  # the parser is slow: a megabyte of brackets would take half a minute
MAX_DEPTH = 40

_INT = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_LEADING_ZERO = re.compile(r"[-+]?0[0-9_]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_WORDS: dict[str, object] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), math.nan),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), math.inf),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), -math.inf),
}

Key = tuple[str | int, ...]


@dataclass(frozen=True)
class Document:
    """A parsed YAML file: its value, where it came from, and the line of each key path."""

    value: Any
    source: str
    lines: dict[Key, int] = field(default_factory=dict)

    def where(self, key: Key) -> str:
        """Return `file:line` of a key path, or of its nearest known parent."""
        while key and key not in self.lines:
            key = key[:-1]
        line = self.lines.get(key)
        return f"{self.source}:{line}" if line else self.source

    def unnumbered(self) -> "Document":
        """Return the document of a text that is in no file, whose lines nobody can look up."""
        return replace(self, lines={})


class _Loader(yaml.SafeLoader):
    """Composes nodes but refuses aliases, anchors, tags and deep nesting."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        anchor = getattr(event, "anchor", None)
        if anchor is not None:
            raise _refusal(event, f"anchors and aliases are not supported (found {anchor!r})")
        if getattr(event, "tag", None) is not None:
            raise _refusal(event, f"tags are not supported (found {event.tag!r})")
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise _refusal(event, f"nested deeper than {MAX_DEPTH} levels")
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


def _refusal(event: Any, problem: str) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=event.start_mark)


def load(path: Path) -> Document:
    """Read one YAML file.

    Raises:
        BadInputError: the file is missing, too large, not UTF-8, or not strict YAML.
    """
    return parse(text_of(path), str(path))


def text_of(path: Path) -> str:
    """Return the text of a YAML file; what comes through a pipe can be read once.

    Raises:
        BadInputError: the file is missing, too large, or not UTF-8.
    """
    try:
        with open_file(path, pipes=True) as stream:
            raw = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise BadInputError(f"cannot read {path}: {error.strerror}") from None
    if len(raw) > MAX_BYTES:
        raise BadInputError(f"{path}: larger than {MAX_BYTES:,} bytes; is this a configuration?")
    try:
        return decode_text(raw)
    except UnicodeDecodeError as error:
        raise BadInputError(f"{path}: not UTF-8 text (byte {error.start})") from None


def parse(text: str, source: str) -> Document:
    """Parse YAML text; `source` names it in error messages. An empty text is an empty mapping."""
    loader = None
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f":{mark.line + 1}" if mark else ""
        problem = error.problem or error.context or error
        raise BadInputError(f"{source}{line}: {one_line(problem)}") from None
    except yaml.YAMLError as error:
        raise BadInputError(f"{source}: {one_line(error)}") from None
    finally:
        if loader is not None:
            loader.dispose()
    lines: dict[Key, int] = {}
    value = {} if node is None else _construct(node, (), source, lines)
    return Document(value, source, lines)


def scalar(text: str, source: str) -> object:
    """Parse one plain value, as given on a command line (`0.5`, `true`, `cifar10`, `[2, 3]`)."""
    return parse(text, source).value if text.strip() else ""


def _construct(node: yaml.Node, path: Key, source: str, lines: dict[Key, int]) -> object:
    if isinstance(node, yaml.ScalarNode):
        plain = node.style is None
        return _plain(node.value, f"{source}:{node.start_mark.line + 1}") if plain else node.value
    if isinstance(node, yaml.SequenceNode):
        items = []
        for i, child in enumerate(node.value):
            lines[*path, i] = child.start_mark.line + 1
            items.append(_construct(child, (*path, i), source, lines))
        return items
    mapping: dict[str, object] = {}
    first: dict[str, int] = {}
    for key_node, child in node.value:
        line = key_node.start_mark.line + 1
        key = key_node.value
        if not isinstance(key_node, yaml.ScalarNode) or not isinstance(key, str) or not key:
            raise BadInputError(f"{source}:{line}: a key must be a plain word")
        # `teacher-weights` and `teacher_weights` mean one key, so both together are a duplicate.
        twin = key.replace("-", "_")
        if twin in first:
            raise BadInputError(
                f"{source}:{line}: duplicate key {one_line(key, 60)!r},"
                f" first given in line {first[twin]}"
            )
        first[twin] = lines[*path, key] = line
        mapping[key] = _construct(child, (*path, key), source, lines)
    return mapping


def _plain(text: str, where: str) -> object:
    if text in _WORDS:
        return _WORDS[text]
    if _LEADING_ZERO.fullmatch(text):
        raise BadInputError(f"{where}: {text!r} could mean octal or decimal; drop the leading zero")
    if _INT.fullmatch(text):
        if len(text) > 30:
            raise BadInputError(f"{where}: a number of {len(text)} digits")
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    return text


def parse_assignments(
    words: Iterable[str], *, nested: bool = False, option: str = "--set"
) -> dict[str, object]:
    """Parse the words after `--set`, with the same rules for values as in a file.

    Args:
        words: each `key=value`.
        nested: whether a key is a path, such as `recipe.epochs`; otherwise a hyphen in it is an
            underscore.
        option: what they stand after, for messages.

    Raises:
        BadInputError: a word is no assignment, or a key is given twice.
    """
    parsed: dict[str, object] = {}
    for text in words:
        key, sign, value = text.partition("=")
        key = key.strip() if nested else key.strip().replace("-", "_")
        if not sign or not (all(key.split(".")) if nested else key):
            form = "key.path=value" if nested else "key=value"
            raise BadInputError(f"{option} {one_line(text, 60)}: expected {form}")
        if key in parsed:
            raise BadInputError(f"{option} {key}: given twice")
        parsed[key] = scalar(value, f"{option} {key}")
    return parsed
