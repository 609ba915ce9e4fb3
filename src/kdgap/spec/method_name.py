"""How several methods of one run are written as one name."""

from kdgap.errors import BadInputError, one_line

SEPARATOR = "+"


def method_name(given: object) -> str:
    """Return the one name of a method, or of a list of methods that share a run.

    `crd+logit` are two, in the order of their names. `logit+` is a list of one: the method with a
    weight of its own beside the cross-entropy's, instead of the `alpha` that both share.

    Args:
        given: a name, or a list of names.
    """
    if not isinstance(given, list) and SEPARATOR not in str(given):
        return str(given)
    parts = given if isinstance(given, list) else str(given).split(SEPARATOR)
    names = sorted(str(part) for part in parts if part != "")
    return SEPARATOR.join(names) + (SEPARATOR if len(names) < 2 else "")


def written_method(given: object) -> str:
    """Return `method_name` of what a user wrote.

    Raises:
        BadInputError: it is neither a name nor a list of names, or names no method.
    """
    names = given if isinstance(given, list) else [given]
    whole = all(isinstance(name, str) and name.strip(SEPARATOR) for name in names)
    if not names or not whole:
        raise BadInputError(
            "a method's name, or a list of at least one method, is needed, such as logit or"
            f" [crd, logit], got {one_line(repr(given), 60)}"
        )
    return method_name(given)
