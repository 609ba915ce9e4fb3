"""Every path on a command line comes through `user_path`, whichever command takes it."""

from inspect import signature
from pathlib import Path
from typing import Annotated, get_args

import typer
from typer.models import OptionInfo, ParameterInfo

from kdgap.errors import BadInputError
from kdgap.paths import user_path

DataRoot = Annotated[Path | None, typer.Option(help="Where the folder with the data is now.")]
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
                if isinstance(info, ParameterInfo) and is_path(kind):
                    info.parser = _read
                    if isinstance(info, OptionInfo):
                        info.metavar = info.metavar or "PATH"


def is_path(kind: object) -> bool:
    """Whether a type is a path, a list of paths, or a path that may be absent."""
    return kind is Path or any(map(is_path, get_args(kind)))


def _read(text: str) -> Path:
    try:
        return user_path(text)
    except BadInputError as error:
        from pydantic_core import PydanticCustomError

        # What typer adds the name of the option to; it would begin any other error with its kind.
        raise PydanticCustomError("path", "{said}", {"said": str(error)}) from None
