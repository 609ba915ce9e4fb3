"""The parquet files of one part of a data set, found without reading them."""

import re
from pathlib import Path

from kdgap.errors import BadInputError

_SHARD = re.compile(r".*-(\d{5})-of-(\d{5})\.parquet")


def find_shards(folder: Path, part: str) -> list[Path]:
    """Return the shards of one part (`train` or `test`) in order, or an empty list.

    Raises:
        BadInputError: some shards of the part are missing.
    """
    shards = sorted(folder.glob(f"{part}-*-of-*.parquet"))
    if shards:
        match = _SHARD.fullmatch(shards[0].name)
        if match and int(match[2]) != len(shards):
            raise BadInputError(
                f"{folder}: {len(shards)} of {int(match[2])} {part} parquet files are here"
            )
    return shards
