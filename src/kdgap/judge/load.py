"""The one way to evidence: a study of ours or an import, whichever a folder holds."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from kdgap import yamlio
from kdgap.errors import BadInputError, nearest, one_line
from kdgap.files import file_hash
from kdgap.judge.evidence import Evidence
from kdgap.judge.kinds import KINDS
from kdgap.spec.claims import Claim, ClaimsFile
from kdgap.spec.claims_file import read_claims
from kdgap.spec.complaints import Where
from kdgap.store.instead import instead, is_import, is_study


def load(path: str | Path) -> Evidence:
    """Read a study's directory, or an import's.

    Raises:
        BadInputError: the folder holds neither, with what to do.
        StoreDamagedError: a file that everything rests on is damaged.
    """
    folder = Path(path)
    if is_study(folder):
        from kdgap.judge.study_evidence import study_evidence
        from kdgap.store.study import StudyDirectory

        return study_evidence(StudyDirectory(folder))
    if is_import(folder):
        from kdgap.judge.imported_evidence import imported_evidence
        from kdgap.store.imports.directory import ImportedDirectory

        return imported_evidence(ImportedDirectory(folder))
    if not folder.exists():
        raise BadInputError(f"{folder}: no such folder")
    raise BadInputError(f"{folder}: holds no study of ours and no import{instead(folder)}")


def check_kinds(claims: Iterable[Claim], where: Where) -> None:
    """Refuse a claim of a kind that there is not.

    Args:
        claims: of a study, or of a file of claims.
        where: names the place of a key, for the message.

    Raises:
        BadInputError: naming the place, what was given and the kinds that there are.
    """
    for index, claim in enumerate(claims):
        if claim.says not in KINDS:
            given = one_line(repr(claim.says), 60)
            known = f"known: {', '.join(KINDS)}{nearest(claim.says, KINDS)}"
            place = where(("claims", index, "says"))
            raise BadInputError(
                f"{place}: claims.{index}.says: no kind of claim, got {given}; {known}"
            )


class GivenClaims(NamedTuple):
    """Claims from a file of their own, with its name and digest."""

    file: ClaimsFile
    origin: dict[str, str]


def load_claims(path: Path) -> GivenClaims:
    """Read a file of claims.

    Raises:
        BadInputError: it is not there, or says something that no claim is.
    """
    document = yamlio.load(path)
    claims = read_claims(document)
    check_kinds(claims.claims, document.where)
    return GivenClaims(claims, {"name": path.name, "sha256": file_hash(path)})
