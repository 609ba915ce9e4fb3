"""What networks answered, as the page gets it: pictures, agreement, and thumbnails if asked."""

import base64
from collections.abc import Sequence
from pathlib import Path

import pytest

from kdgap.errors import BadInputError
from kdgap.explorer.answers import agreement_document, answers_document, images_document
from kdgap.explorer.export import export_page
from kdgap.explorer.snapshot import Snapshot
from tests.explorer.test_arm_documents import only
from tests.explorer.test_export import shown
from tests.judge.builders import analyse
from tests.judge.kept_answers import failed, study_of

PICTURE = b"a picture"


def snapshot_of(root: Path) -> Snapshot:
    known = study_of(root)
    return Snapshot(root, known, analyse(known))


def drawn(run: Path, indices: Sequence[int]) -> bytes:
    assert run.is_dir()
    assert list(indices) == [1, 5]
    return PICTURE


def refused(run: Path, indices: Sequence[int]) -> bytes:
    raise BadInputError(f"{run.name}: no such data")


def test_an_arm_shows_what_its_students_answered(tmp_path: Path) -> None:
    snapshot = snapshot_of(tmp_path)
    document = answers_document(snapshot, only(snapshot, "final"))
    assert (document["images"], document["classes"]) == (6, ["cat", "dog", "owl"])
    assert document["agreement"]["seeds"] == ["0", "0", "1", "0", "1"]


def test_other_arms_say_why_there_is_nothing(tmp_path: Path) -> None:
    snapshot = snapshot_of(tmp_path)
    for role in ("teacher", "baseline"):
        assert "reason" in answers_document(snapshot, only(snapshot, role))
    with pytest.raises(IndexError):
        answers_document(snapshot, len(snapshot.arms))
    with pytest.raises(IndexError):
        answers_document(snapshot, -1)


def test_a_run_is_beside_every_other(tmp_path: Path) -> None:
    snapshot = snapshot_of(tmp_path)
    document = agreement_document(snapshot, 0)
    assert len(document["others"]) == len(snapshot.evidence.runs) - 1
    assert {other["run"] for other in document["others"]} == set(range(1, 5))


def test_thumbnails_are_those_of_the_disputed_images(tmp_path: Path) -> None:
    snapshot = snapshot_of(tmp_path)
    number = only(snapshot, "final")
    picture = images_document(snapshot, number, drawn)["picture"]
    assert base64.b64decode(picture.removeprefix("data:image/png;base64,")) == PICTURE
    assert "picture" not in images_document(snapshot, number, None)
    assert images_document(snapshot, number, refused)["reason"].endswith("no such data")


def test_thumbnails_are_of_a_run_that_is_done(tmp_path: Path) -> None:
    known = failed(study_of(tmp_path), "final", 0)
    snapshot = Snapshot(tmp_path, known, analyse(known))
    asked: list[Path] = []

    def drawn_once(run: Path, indices: Sequence[int]) -> bytes:
        asked.append(run)
        return drawn(run, indices)

    assert "picture" in images_document(snapshot, only(snapshot, "final"), drawn_once)
    assert asked == [tmp_path / known.runs[-1].paths[0]]


@pytest.mark.parametrize("asked", [False, True])
def test_an_export_has_thumbnails_only_if_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: bool
) -> None:
    monkeypatch.setattr("kdgap.explorer.export.live_document", lambda _: {"runners": []})
    snapshot = snapshot_of(tmp_path / "study")
    export_page(snapshot, tmp_path / "page", drawn if asked else None)
    files = shown(tmp_path / "page")
    number = only(snapshot, "final")
    assert f"data/answers/{number}.js" in files
    encoded = base64.b64encode(PICTURE)
    assert (encoded in files[f"data/images/{number}.js"]) == asked
