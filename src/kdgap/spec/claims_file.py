"""A file of claims becomes a `ClaimsFile`, or one line says what is wrong, where, what to do."""

import math
from collections import Counter
from collections.abc import Iterable

from pydantic import ValidationError

from kdgap.errors import BadInputError, nearest
from kdgap.spec.claims import Claim, ClaimsFile
from kdgap.spec.complaints import Where, complaints
from kdgap.yamlio import Document

ABLATION_ALONE = "an ablation stands alone, with measure: accuracy"


def read_claims(document: Document) -> ClaimsFile:
    """Read a file of claims; which arms they name is checked against the runs, later.

    Raises:
        BadInputError: naming file, line, key and what was expected.
    """
    if not isinstance(document.value, dict):
        raise BadInputError(f"{document.source}: expected `key: value` lines")
    try:
        claims = ClaimsFile.model_validate(document.value)
    except ValidationError as error:
        texts = complaints(error, document.where, document.value, ClaimsFile)
        raise BadInputError("; ".join(texts)) from None
    check_twins("claims", [claim.name for claim in claims.claims], document.where)
    check_main(claims.main_claim, claims.claims, document.where)
    for index, claim in enumerate(claims.claims):
        for number, term in enumerate(claim.terms):
            place = document.where(("claims", index, "terms", number))
            if term.ablation is not None and claim.measure == "gain":
                raise BadInputError(f"{place}: {ABLATION_ALONE}")
        check_sum(claim, document.where(("claims", index)))
    return claims


def check_twins(group: str, names: list[str], where: Where) -> None:
    """Refuse names that are equal, or differ in case only.

    Raises:
        BadInputError: naming the place and the name.
    """
    folded = Counter(name.casefold() for name in names)
    for name in names:
        if folded[name.casefold()] > 1:
            raise BadInputError(
                f"{where((group,))}: {group}: {name!r} is there twice, or differs from"
                " another name in case only"
            )


def check_main(name: str | None, claims: Iterable[Claim], where: Where) -> None:
    """Refuse a main claim that is not among the claims.

    Raises:
        BadInputError: naming the place and the name.
    """
    names = [claim.name for claim in claims]
    if name is not None and name not in names:
        raise BadInputError(
            f"{where(('main_claim',))}: main_claim: no claim is called {name!r}"
            f"{nearest(name, names)}"
        )


def check_sum(claim: Claim, place: str) -> None:
    """Refuse a claim on accuracies that compares nothing.

    Raises:
        BadInputError: naming the place and the claim.
    """
    total = math.fsum(term.weight for term in claim.terms)
    if claim.measure == "accuracy" and abs(total) > 1e-9:
        raise BadInputError(
            f"{place}: claim {claim.name!r}: the weights of accuracies have to sum to 0, as 1 and"
            f" -1 do, got {total:g}: an accuracy alone compares nothing"
        )
