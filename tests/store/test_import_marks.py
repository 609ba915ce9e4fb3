"""Byte order marks, and UTF-16 as Windows shells write it, are read wherever they may stand."""

import codecs
import io
import json
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from kdgap import yamlio
from kdgap.errors import BadInputError, StoreDamagedError
from kdgap.files import decode_text, read_json
from kdgap.judge.load import load_claims
from kdgap.report.collect import collect
from kdgap.store.imports.directory import ImportedDirectory
from kdgap.store.imports.gate import OddFileError, read_object
from kdgap.store.imports.imported import import_runs
from kdgap.study.workspace import open_study
from tests.store.foreign_files import FIDELITY, FINAL, findings, write

MARKED: dict[str, Callable[[str], bytes]] = {
    "utf-8": lambda text: codecs.BOM_UTF8 + text.encode(),
    "utf-16-le": lambda text: codecs.BOM_UTF16_LE + text.encode("utf-16-le"),
    "utf-16-be": lambda text: codecs.BOM_UTF16_BE + text.encode("utf-16-be"),
    "utf-32-le": lambda text: codecs.BOM_UTF32_LE + text.encode("utf-32-le"),
    "utf-32-be": lambda text: codecs.BOM_UTF32_BE + text.encode("utf-32-be"),
}
marks = pytest.mark.parametrize("mark", MARKED)


def remark(path: Path, mark: str) -> None:
    path.write_bytes(MARKED[mark](path.read_text(encoding="utf-8")))


@marks
@pytest.mark.parametrize("where", ["folder", "zip", "tar"])
def test_result_files_with_a_mark_are_read(tmp_path: Path, mark: str, where: str) -> None:
    path = write(tmp_path / "r", FINAL, model="Ré\u2028sNet", fidelity=FIDELITY | {
        "student_arch": "Ré\u2028sNet"})  # fmt: skip
    _, plain = import_runs(tmp_path / "r", "x")
    for name in ("results.json", "fidelity.json"):
        remark(path.with_name(name), mark)
    source = tmp_path / "r"
    contents = {f"{FINAL}/{name}": path.with_name(name).read_bytes()
                for name in ("results.json", "fidelity.json")}  # fmt: skip
    if where == "zip":
        source = tmp_path / "x.zip"
        with zipfile.ZipFile(source, "w") as archive:
            for name, content in contents.items():
                archive.writestr(name, content)
    if where == "tar":
        source = tmp_path / "x.tar"
        with tarfile.open(source, "w") as tar:
            for name, content in contents.items():
                info = tarfile.TarInfo(name)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    about, runs = import_runs(source, "x")
    assert about["findings"] == []
    assert [run["sha256"] for run in runs] != [run["sha256"] for run in plain]  # of the bytes
    assert [run | {"sha256": ""} for run in runs] == [run | {"sha256": ""} for run in plain]
    if where == "folder":
        assert len(collect(source)[0]) == 1


@marks
def test_yaml_with_a_mark_is_read_and_its_lines_are_right(tmp_path: Path, mark: str) -> None:
    path = tmp_path / "study.yaml"
    path.write_bytes(MARKED[mark]("# café\nname: café\nepochs: no\n"))
    document = yamlio.load(path)
    assert document.value == {"name": "café", "epochs": "no"}
    assert document.where(("epochs",)) == f"{path}:3"


@marks
def test_a_study_with_a_mark_is_kept_as_one_that_can_be_read(tmp_path: Path, mark: str) -> None:
    """What a study keeps of its file begins with the overrides: a mark would stand in its midst."""
    plain = (Path(__file__).parents[2] / "configs" / "studies" / "digits.yaml").read_text()
    path = tmp_path / "study.yaml"
    path.write_bytes(MARKED[mark](plain))
    kept = open_study(path, {"finals.seeds": [0, 1]}).text
    assert kept == "# --set finals.seeds=[0, 1]\n" + plain
    assert yamlio.parse(kept, "kept").value == yamlio.load(path).value


@marks
def test_claims_with_a_mark_are_read(tmp_path: Path, mark: str) -> None:
    path = tmp_path / "claims.yaml"
    claim = "{weight: 1, teacher: a, student: b, method: logit}"
    path.write_bytes(MARKED[mark](f"claims: [{{name: a, text: é, terms: [{claim}]}}]\n"))
    assert load_claims(path).file.claims[0].text == "é"


@marks
def test_an_import_that_was_edited_on_windows(tmp_path: Path, mark: str) -> None:
    """`import.json` is read; `runs.jsonl`, whose hash is known, is named as changed."""
    write(tmp_path / "r", FINAL)
    out = ImportedDirectory(tmp_path / "out")
    out.write(*import_runs(tmp_path / "r", "x"))
    before = out.read()
    remark(out.path / "import.json", mark)
    assert out.read() == before
    remark(out.path / "runs.jsonl", mark)
    with pytest.raises(StoreDamagedError, match="changed after the import"):
        out.read()


@marks
def test_json_of_ours_with_a_mark_is_read(tmp_path: Path, mark: str) -> None:
    (tmp_path / "plan.json").write_bytes(MARKED[mark]('{"a": "é"}'))
    assert read_json(tmp_path / "plan.json") == {"a": "é"}


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "latin-1"])
def test_text_without_a_mark_that_is_no_utf_8_is_named(tmp_path: Path, encoding: str) -> None:
    write(tmp_path, FINAL)
    odd = write(tmp_path, FINAL.replace("seed0", "seed1"), seed=1, data="é")
    odd.write_bytes(json.dumps(json.loads(odd.read_text()), ensure_ascii=False).encode(encoding))
    about, runs = import_runs(tmp_path, "x")
    assert len(runs) == 1
    assert findings(about, "unreadable")[0]["paths"] == [f"{FINAL[:-1]}1/results.json"]
    (tmp_path / "f.yaml").write_bytes("a: é".encode(encoding))
    with pytest.raises(BadInputError, match=r"f\.yaml: "):
        yamlio.load(tmp_path / "f.yaml")


@pytest.mark.parametrize(
    "content",
    [codecs.BOM_UTF16_LE + b"a", codecs.BOM_UTF32_BE + b"abc", codecs.BOM_UTF8 + b"\xff",
     codecs.BOM_UTF16_BE + b"\xd8\x00\x00a"],
)  # fmt: skip
def test_a_torn_text_behind_a_mark_is_named(content: bytes) -> None:
    with pytest.raises(UnicodeDecodeError):
        decode_text(content)
    with pytest.raises(OddFileError, match="not UTF-8"):
        read_object(content)


def test_a_mark_within_a_text_stays() -> None:
    assert decode_text("a\ufeffb".encode()) == "a\ufeffb"
    assert read_object('{"a\ufeff": "\ufeff"}'.encode()) == {"a\ufeff": "\ufeff"}
