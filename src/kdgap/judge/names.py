"""A method as a user names it, found among the arms: by the study's own name, or by what it is."""

from collections.abc import Iterable, Mapping

from kdgap.errors import ClaimError, nearest
from kdgap.spec.method_card import UNKNOWN, MethodCard
from kdgap.spec.method_name import SEPARATOR, method_name


def method_meant(
    name: str, arms: Iterable[str], methods: Mapping[str, MethodCard], place: str
) -> str | None:
    """Return the arms' name for the method that a user names; None if no arm is of it.

    A name that an arm has stands for that arm alone. Any other is a registered method, and
    `logit` is also the list of one, `logit+`.

    Args:
        name: what the user gave.
        arms: names of methods, as slots have them.
        methods: what is known of them.
        place: how the message begins, such as `reference`.

    Raises:
        ClaimError: several arms are of that method; the message names them.
    """
    known = list(dict.fromkeys(arms))
    if name in known:
        return name
    asked = method_name(name)
    fitting = [arm for arm in known if registered(arm, methods) in (asked, asked + SEPARATOR)]
    if len(fitting) > 1:
        raise ClaimError(
            f"{place} {name!r} is the method of {len(fitting)} arms of these runs; name one of"
            f" them: {', '.join(fitting)}"
        )
    return fitting[0] if fitting else None


def registered(arm: str, methods: Mapping[str, MethodCard]) -> str:
    """Return the registered method behind an arm's name."""
    return method_name(methods.get(arm, UNKNOWN).method or arm)


def like(name: str, arms: Iterable[str], methods: Mapping[str, MethodCard]) -> str:
    """Return ` (did you mean 'x'?)` for the closest name of an arm or of its method."""
    known = list(arms)
    return nearest(name, dict.fromkeys([*known, *(registered(arm, methods) for arm in known)]))
