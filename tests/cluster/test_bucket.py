"""A study in a bucket. Behind the marker `cluster`: needs an object store, which runs here."""

from pathlib import Path
from typing import Any

import pytest

from kdgap.errors import BadInputError
from kdgap.store.mirror import pulled
from kdgap.store.study import StudyDirectory
from kdgap.store.url import Url
from tests.cluster.engines import LOSE_AFTER, Machines
from tests.cluster.test_driver import drive, hashes, text, worked_alone

pytestmark = pytest.mark.cluster


def test_a_study_in_a_bucket_gives_the_records_of_one_machine(
    tmp_path: Path, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = tmp_path / "alone"
    alone.mkdir()
    (alone / "study.yaml").write_text(text())
    expected = hashes(worked_alone(alone))
    lost: list[str] = []

    def fate(job: Any) -> str | None:
        lost.append(job.id)
        return LOSE_AFTER if len(lost) in (2, 4) else None

    storage = Url(f"{bucket}/small")
    directory, _ = drive(tmp_path, Machines(tmp_path / "nodes", monkeypatch, fate=fate), storage)
    assert hashes(directory) == expected
    monkeypatch.setenv("KDGAP_CACHE", str(tmp_path / "elsewhere"))
    assert hashes(StudyDirectory(pulled(f"{bucket}/small"))) == expected
    assert not storage.listing("incoming")


def test_a_bucket_that_is_not_there_is_refused(bucket: str) -> None:
    storage = Url(f"{bucket}-of-others/x", waits=())
    with pytest.raises(BadInputError, match="s3://studies-of-others/x: cannot be written"):
        storage.probe()
