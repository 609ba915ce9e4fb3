"""Every path on a command line comes through `user_path`, whichever command takes it."""

from collections.abc import Iterator
from contextlib import contextmanager
from inspect import signature
from pathlib import Path
from typing import Annotated, get_args

import typer
from typer.models import ArgumentInfo, OptionInfo, ParameterInfo

from kdgap.errors import KdgapError
from kdgap.paths import data_place, is_url, user_path

_DATA_ROOT = typer.Option(metavar="PATH|URL", help="Where the folder with the data is now.")
DataRoot = Annotated[str | None, _DATA_ROOT]
GivenTeachers = Annotated[
    list[str] | None,
    typer.Option(
        "--teacher-weights",
        "--teacher",
        metavar="[NAME=]PATH",
        help="Where the file of a teacher that the study is given is now; may be repeated.",
    ),
]
"""Its path is read by `kdgap.running.places`, which knows the names."""


def expand_paths(app: typer.Typer) -> None:
    """Let each option and argument of an application that is a path be read by `user_path`."""
    for command in app.registered_commands:
        assert command.callback is not None
        for parameter in signature(command.callback).parameters.values():
            kind, *about = get_args(parameter.annotation) or (parameter.annotation,)
            for info in about:
                if info is _DATA_ROOT:
                    info.parser = _read_data_root
                elif isinstance(info, ParameterInfo) and is_path(kind):
                    info.parser = _read_study if _is_study(info) else _read
                    if isinstance(info, OptionInfo):
                        info.metavar = info.metavar or "PATH"


def is_path(kind: object) -> bool:
    """Whether a type is a path, a list of paths, or a path that may be absent."""
    return kind is Path or any(map(is_path, get_args(kind)))


def _is_study(info: ParameterInfo) -> bool:
    """Whether a parameter names a study that is read, which may be kept at a URL."""
    return isinstance(info, ArgumentInfo) and "STUDY" in str(info.metavar)


def _read_study(text: str) -> Path:
    """Return the path of a study; of one at a URL its mirror's, brought up to date."""
    if not is_url(text):
        return _read(text)
    from kdgap.store.mirror import pulled

    with _as_usage():
        return pulled(text)


def _read_data_root(text: str) -> str:
    with _as_usage():
        return data_place(text)


def _read(text: str) -> Path:
    with _as_usage():
        return user_path(text)


@contextmanager
def _as_usage() -> Iterator[None]:
    try:
        yield
    except KdgapError as error:
        from pydantic_core import PydanticCustomError

        # What typer adds the name of the option to; it would begin any other error with its kind.
        raise PydanticCustomError("path", "{said}", {"said": str(error)}) from None
