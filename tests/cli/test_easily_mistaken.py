"""What is easily meant otherwise than it was written is refused in one line."""

from pathlib import Path

import pytest

from kdgap.cli.export import export
from kdgap.errors import BadInputError
from kdgap.store.study import StudyDirectory
from kdgap.study.distilling import Wish, distilling_study


def test_a_format_is_no_folder_for_a_studys_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(StudyDirectory, "exists", lambda _: True)
    monkeypatch.setattr(StudyDirectory, "plan", lambda _: {"runs": [{"path": "runs/a/0"}]})
    with pytest.raises(BadInputError, match=r"name one of its runs, such as st/runs/a/0"):
        export(Path("st"), to="onnx")
    assert not (tmp_path / "onnx").exists()


def test_a_picture_is_no_table(tmp_path: Path) -> None:
    picture = tmp_path / "a.png"
    picture.write_bytes(b"\x89PNG\r\n")
    wish = Wish("resnet8", "resnet8", str(picture), None, "logit", 2, 1)
    with pytest.raises(BadInputError, match="neither a folder of images nor a file"):
        distilling_study(wish, "name")
