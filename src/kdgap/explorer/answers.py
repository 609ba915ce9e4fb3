"""What networks answered, image by image, as documents: pictures of it, and thumbnails if asked."""

import base64
from typing import Any

from kdgap.errors import KdgapError, one_line
from kdgap.explorer.snapshot import Snapshot
from kdgap.judge.answers import COLUMNS, TILE, NoAnswersError, Thumbnails
from kdgap.judge.document import to_json
from kdgap.judge.image_by_image import (
    MOST_OTHERS,
    agreeing,
    disputed_images,
    image_by_image,
    pictured_run,
)


def answers_document(snapshot: Snapshot, number: int) -> dict[str, Any]:
    """Return what the students of an arm answered, beside plain training and their teachers.

    Raises:
        IndexError: there is no such arm.
    """
    if number < 0:
        raise IndexError(number)
    arm, context = snapshot.arms[number], snapshot.context
    document: dict[str, Any] = {"version": snapshot.version, "arm": number}
    if arm.slot.role != "final":
        return document | {"reason": "it is shown for distilled students"}
    try:
        pictured = image_by_image(arm, context.baseline(arm), snapshot.evidence)
    except NoAnswersError as error:
        return document | {"reason": str(error)}
    shown: dict[str, Any] = to_json(pictured)
    return document | shown


def agreement_document(snapshot: Snapshot, number: int) -> dict[str, Any]:
    """Return how many test images a run answers like each other run, the most alike first.

    Raises:
        IndexError: there is no such run.
    """
    if number < 0:
        raise IndexError(number)
    document: dict[str, Any] = {"version": snapshot.version, "run": number}
    try:
        shares = agreeing(snapshot.evidence.runs[number], snapshot.evidence)
    except NoAnswersError as error:
        return document | {"reason": str(error)}
    others = [{"run": snapshot.numbers[run], "share": round(share, 6)} for run, share in shares]
    return document | {"others": others, "most": MOST_OTHERS}


def images_document(
    snapshot: Snapshot, number: int, thumbnails: Thumbnails | None
) -> dict[str, Any]:
    """Return the disputed images of an arm as one picture, in the order of its answers.

    Raises:
        IndexError: there is no such arm.
    """
    if number < 0:
        raise IndexError(number)
    arm, context = snapshot.arms[number], snapshot.context
    document: dict[str, Any] = {"version": snapshot.version, "arm": number}
    if thumbnails is None:
        return document | {"reason": "this page was exported without --images"}
    if arm.slot.role != "final":
        return document | {"reason": "they are shown for distilled students"}
    try:
        disputed = disputed_images(arm, context.baseline(arm), snapshot.evidence)
        indices = [image.index for image in disputed]
        if not indices:
            return document | {"reason": "students and teacher answer every image alike"}
        picture = thumbnails(pictured_run(arm, snapshot.evidence), indices)
    except (NoAnswersError, KdgapError, OSError) as error:
        return document | {"reason": one_line(error)}
    encoded = base64.b64encode(picture).decode()
    return document | {
        "tile": TILE,
        "columns": COLUMNS,
        "picture": f"data:image/png;base64,{encoded}",
    }
