"""The parquet files of one part of a data set, found without reading them."""

import re
from pathlib import Path

from kdgap.errors import BadInputError
from kdgap.files import entries

_SHARD = re.compile(r"-(\d+)-of-(\d+)(?:-[0-9A-Za-z]+)?\.parquet")
"""Number and total; older files of the hub have a hash behind them, another for each shard."""


def find_shards(folder: Path, part: str) -> list[Path]:
    """Return the shards of one part (`train` or `test`) in order, or an empty list.

    Raises:
        BadInputError: shards are missing, there twice or of two releases, or a name does not say
            which shard it is.
    """
    shards: dict[int, Path] = {}
    total = 0
    try:
        paths = entries(folder, f"{part}-*-of-*.parquet")
    except OSError as error:
        raise BadInputError(f"{folder}: {error.strerror}") from None
    for path in paths:
        match = _SHARD.fullmatch(path.name, len(part))
        number, of = (int(match[1]), int(match[2])) if match else (0, 0)
        if number >= of:
            raise BadInputError(
                f"{path}: its name is none of a shard, which count from 0, such as"
                f" {part}-00000-of-00002.parquet; rename or remove it"
            )
        total = total or of
        if total != of:
            raise BadInputError(
                f"{folder}: {paths[0].name} and {path.name} are of two releases, whose numbers of"
                " shards differ; remove the files of one"
            )
        if number in shards:
            raise BadInputError(
                f"{folder}: {shards[number].name} and {path.name} are the same shard, of two"
                " releases or twice; remove one of them"
            )
        shards[number] = path
    if len(shards) != total:
        missing = next(number for number in range(total) if number not in shards)
        raise BadInputError(
            f"{folder}: {len(shards)} of {total} {part} parquet files are here, number"
            f" {missing:05} is missing; bring back the release's own files"
        )
    return [shards[number] for number in range(total)]
