"""`package.module:factory`: a network of the user's own, built in `models/from_factory.py`."""

from functools import partial

from kdgap.errors import BadInputError
from kdgap.models.entry import MODELS, ModelEntry, entry_of_others


def _code(name: str) -> str:
    from kdgap.models.from_factory import code

    return code(name)


@MODELS.source("")
def _entry(name: str) -> ModelEntry:
    module, _, factory = name.partition(":")
    words = [*module.split("."), *factory.split(".")]
    if not all(word.isidentifier() for word in words):
        raise BadInputError(
            f"{name!r} is no network; a network of your own is written package.module:factory"
        )
    code = partial(_code, name)
    return entry_of_others("kdgap.models.from_factory", name, "your own", code=code)
