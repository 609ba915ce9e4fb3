"""`kdgap export` of networks and `kdgap predict`: one network, whatever file it is in."""

import errno
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from rich.cells import cell_len

from kdgap import disk
from kdgap.cli import printing
from kdgap.data import Request, load_dataset
from kdgap.files import read_bytes
from kdgap.running.teacher import open_teacher
from kdgap.shipping import evidence, exporting, latency
from kdgap.shipping.facts import Facts
from kdgap.shipping.models import open_model
from kdgap.shipping.sources import open_source
from kdgap.spec.model import InputSpec, ModelSpec
from kdgap.stats.proportion import wilson
from kdgap.store.card import read_card
from tests.conftest import ROOT
from tests.shipping.networks import CLASSES, weights_file

if TYPE_CHECKING:
    from subprocess import CompletedProcess

Command = Callable[..., "CompletedProcess[str]"]
Refused = Callable[..., str]

FILES = {"pt2": "s.pt2", "onnx": "s.onnx", "safetensors": "s.safetensors", "hub": "hub"}


@pytest.fixture(scope="module", autouse=True)
def _timed_shortly() -> Iterator[None]:
    """Nothing here asserts a time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(latency, "SECONDS", 0.02)
        yield


@pytest.fixture(scope="session")
def shipped(_digits_teacher: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One run in all formats; only to be read."""
    folder = tmp_path_factory.mktemp("shipped")
    for form, name in FILES.items():
        exporting.export_model(_digits_teacher, form, folder / name, licence="apache-2.0")
    return folder


@pytest.fixture
def digits(workdir: Path) -> Path:
    """Some training images as files, a photograph, and what is no image, in two folders."""
    folder = workdir.parent / "digits"
    (folder / "more").mkdir(parents=True)
    pixels = load_dataset("digits", Request(Path("data"))).train.pixels
    for number in range(4):
        place = folder / "more" if number == 3 else folder
        Image.fromarray(pixels[number, 0].numpy()).save(place / f"digit{number}.png")
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (60, 90, 3), dtype=np.uint8)).save(folder / "wide.jpg")
    (folder / "notes.txt").write_text("nothing")
    (folder / ".hidden.png").write_bytes(b"")
    return folder


def answers(done: "CompletedProcess[str]") -> dict[str, list[tuple[str, float]]]:
    assert done.returncode == 0, done
    document = json.loads(done.stdout)
    return {
        image["image"]: [(guess["class"], guess["probability"]) for guess in image["top"]]
        for image in document["images"]
    }


def test_every_file_answers_as_the_run_does(
    kdgap: Command, shipped: Path, digits: Path, digits_teacher: Path
) -> None:
    words = (digits, "--top", 10, "--json")
    expected = answers(kdgap("predict", digits_teacher, *words))
    assert [Path(name).name for name in expected] == [
        *("digit0.png", "digit1.png", "digit2.png", "digit3.png", "wide.jpg")
    ]
    for name in FILES.values():
        for image, guesses in answers(kdgap("predict", shipped / name, *words)).items():
            assert guesses[0][0] == expected[image][0][0]
            shares = dict(guesses)
            for label, share in expected[image]:
                assert shares[label] == pytest.approx(share, abs=1e-4)


def test_images_are_seen_as_training_saw_them(
    kdgap: Command, digits: Path, digits_teacher: Path
) -> None:
    weights = open_teacher(digits_teacher / "checkpoint_best.safetensors", None, unmeasured=True)
    pixels = load_dataset("digits", Request(Path("data"))).train.pixels[:3]
    with torch.inference_mode():
        shares = weights.network(weights.preprocessing(pixels)).logits.double().softmax(1)
    answered = answers(kdgap("predict", digits_teacher, digits, "--top", 10, "--json"))
    for number in range(3):
        for label, share in answered[str(digits / f"digit{number}.png")]:
            assert share == pytest.approx(float(shares[number, int(label)]), abs=1e-6)


def test_the_table_fits_a_terminal_and_counts_what_is_left_out(
    kdgap: Command, shipped: Path, digits: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(printing.out, "_width", None)  # of an earlier test
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(digits.parent)
    done = kdgap("predict", shipped / "hub", "digits", "digits/wide.jpg", "--top", 2)
    assert done.returncode == 0
    assert done.stderr == "left out: 2 files in the folders that are no images\n"
    assert done.stdout.count(" %") == 2 * 6
    assert max(map(cell_len, done.stdout.splitlines())) <= 80


def test_the_best_weights_of_a_run_are_the_run(kdgap: Command, digits_teacher: Path) -> None:
    weights = digits_teacher / "checkpoint_best.safetensors"
    done = kdgap("export", weights, "--to", "safetensors")
    assert done.stdout.splitlines()[0] == f"{digits_teacher.name}.safetensors"
    assert (
        "| method | none: trained on the labels alone |"
        in Path(f"{digits_teacher.name}.safetensors.md").read_text()
    )


@pytest.mark.parametrize("form", ["pt2", "onnx"])
def test_a_graph_says_all_that_is_needed(shipped: Path, digits_teacher: Path, form: str) -> None:
    facts = open_model(shipped / FILES[form]).facts
    assert facts.card == read_card(digits_teacher / "checkpoint_best.safetensors")
    assert facts.licence == "apache-2.0"
    assert facts.compared is not None
    assert facts.compared.source == "validation images of digits"
    assert facts.compared.largest_difference <= 1e-4
    content = read_bytes(shipped / FILES[form])
    assert str(ROOT).encode() not in content
    assert b"site-packages" not in content


def test_a_hub_folder_can_be_read_without_kdgap(shipped: Path) -> None:
    folder = shipped / "hub"
    assert {path.name for path in folder.iterdir()} == {
        *("model.safetensors", "config.json", "preprocessor_config.json", "README.md")
    }
    config = json.loads((folder / "config.json").read_text())
    assert config["id2label"] == {str(n): str(n) for n in range(10)}
    assert config["label2id"]["7"] == 7
    processor = json.loads((folder / "preprocessor_config.json").read_text())
    assert processor["crop_size"] == {"height": 8, "width": 8}
    _, front, text = (folder / "README.md").read_text().split("---\n", 2)
    head = yaml.safe_load(front)
    assert (head["license"], head["library_name"]) == ("apache-2.0", "kdgap")
    assert head["model-index"][0]["results"][0]["dataset"]["split"] == "test"
    assert text.lstrip().startswith("# hub\n")


def test_the_card_says_how_sure_its_numbers_are(shipped: Path, digits_teacher: Path) -> None:
    test = json.loads((digits_teacher / "test.json").read_text())["best"]
    low, high = wilson(test["accuracy"], 500, 0.95)
    card = (shipped / "s.onnx.md").read_text()
    assert f"| test accuracy | {test['accuracy']:.2%}".replace("%", " %") in card
    assert f"95 % interval {100 * low:.1f} to {100 * high:.1f} %" in card
    assert f"| {test['ece']:.2%}".replace("%", " %") in card
    assert "median" in card
    assert "| these weights | apache-2.0 |" in card


def test_a_closed_test_door_stays_closed(kdgap: Command, config: Callable[..., Path]) -> None:
    assert kdgap("train", config(output_dir="run"), "--no-test").returncode == 0
    done = kdgap("export", "run", "--to", "safetensors")
    assert done.returncode == 0, done
    assert done.stdout.splitlines() == ["run.safetensors", "run.safetensors.md"]
    card = Path("run.safetensors.md").read_text()
    assert "validation accuracy" in card
    assert "no test door was opened" in card
    assert "297 of them" in card
    assert not Path("run/test.json").exists()
    # It is a weights file like any other: it can be evaluated, and exported once more.
    assert kdgap("evaluate", "run.safetensors").returncode == 0
    assert kdgap("export", "run.safetensors", "--to", "hub", "--out", "hub").returncode == 0


def test_named_images_are_compared_on(kdgap: Command, digits: Path, digits_teacher: Path) -> None:
    words = ("--to", "safetensors", "--out", "a.safetensors", "--images", digits)
    done = kdgap("export", digits_teacher, *words)
    assert "answers as PyTorch does on 5 images that were named" in done.stderr


def test_without_data_it_says_that_pixels_are_random(
    kdgap: Command, workdir: Path, refused: Refused
) -> None:
    source = weights_file(workdir.parent / "w.safetensors", ModelSpec(name="resnet8"), 32)
    done = kdgap("export", source, "--to", "hub", "--out", "hub")
    assert done.returncode == 0, done
    assert "compared on random pixels" in done.stderr
    assert "64 images of random pixels" in Path("hub/README.md").read_text()
    assert "| accuracy | not measured |" in Path("hub/README.md").read_text()
    words = ("export", source, "--to", "hub", "--out", "other", "--data-root", "nowhere")
    assert "nowhere" in refused(kdgap, *words)


def test_images_of_the_test_set_never_stand_in_for_validation(
    digits_teacher: Path,
) -> None:
    source = open_source(digits_teacher)
    assert source.record is not None
    data = source.record.spec.data
    changed = source.record.spec.model_copy(
        update={"data": data.model_copy(update={"choose_on": "test"})}
    )
    object.__setattr__(source.record, "spec", changed)
    facts = Facts(kdgap="0", card=source.weights.card)
    sample, missing = evidence.sample_of(source, facts, [], None)
    assert missing is None
    assert sample.source == "training images of digits"
    whole = load_dataset("digits", Request(Path("data")))
    known = {image.numpy().tobytes() for image in whole.train.pixels}
    assert all(image.numpy().tobytes() in known for image in sample.pixels)


def test_a_file_that_answers_otherwise_is_not_written(
    kdgap: Command, digits_teacher: Path, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    def shifted(by: float) -> Callable[[Any, torch.Tensor], torch.Tensor]:
        def answer(model: Any, pixels: torch.Tensor) -> torch.Tensor:
            logits = evidence.exported_logits(model, pixels)
            return logits + by * max(1.0, float(logits.abs().max()))

        return answer

    words = ("export", digits_teacher, "--to", "safetensors", "--out", "a.safetensors")
    for wrong in (2e-4, float("nan")):
        monkeypatch.setattr(exporting, "exported_logits", shifted(wrong))
        assert "answers otherwise than PyTorch" in refused(kdgap, *words)
    monkeypatch.setattr(exporting, "exported_logits", shifted(5e-5))
    assert kdgap(*words).returncode == 0


@pytest.mark.parametrize("form", ["hub", "safetensors"])
def test_a_full_disk_leaves_nothing_behind(
    kdgap: Command, digits_teacher: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    wholly, names = disk.current.write, []

    def write(_: disk.Disk, handle: int, content: memoryview) -> int:
        names.append(handle)
        if len(names) > 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        return wholly(handle, content)

    monkeypatch.setattr(disk.Disk, "write", write)
    words = ("--to", form, "--out", "full" + (".safetensors" if form != "hub" else ""))
    done = kdgap("export", digits_teacher, *words)
    assert done.returncode == 2, done
    assert "No space left on device" in done.stderr
    assert len(names) == 2
    assert list(Path.cwd().iterdir()) == []


def test_two_classes_that_are_equal_may_change_places() -> None:
    ours = torch.tensor([[1.0, 1.0 - 1e-5], [1.0, 0.5]])
    assert exporting.other_answers(ours, ours.flip(1), 1e-4) == 1


@pytest.fixture
def simkd(kdgap: Command, config: Callable[..., Path], teacher_weights: Path) -> Path:
    """A run that deploys its student behind a connector and its teacher's classifier."""
    keys = {"kd_type": "simkd", "teacher": "resnet8", "teacher_weights": str(teacher_weights)}
    done = kdgap("train", config(**keys, limit=128, width=0.25, output_dir="simkd"))
    assert done.returncode == 0, done
    return Path("simkd")


def test_a_reused_classifier_ships_with_its_network(
    kdgap: Command, simkd: Path, digits: Path
) -> None:
    done = kdgap("export", simkd, "--to", "pt2", "--out", "s.pt2")
    assert done.returncode == 0, done
    expected = answers(kdgap("predict", simkd, digits, "--json"))
    given = answers(kdgap("predict", "s.pt2", digits, "--json"))
    assert [rows[0][0] for rows in given.values()] == [rows[0][0] for rows in expected.values()]
    card = Path("s.pt2.md").read_text()
    assert "| classifier | taken over from resnet8x0.125, behind a connector |" in card
    assert "| method | simkd" in card
    assert "smoke" in card.lower()


NETWORKS = {
    "onnx": (
        ModelSpec(
            name="timm:vit_tiny_patch16_224",
            arguments={"img_size": 32, "patch_size": 16, "depth": 2},
        ),
        32,
    ),
    "pt2": (
        ModelSpec(
            name="torchvision:mobilenet_v2", input=InputSpec(size=64, interpolation="bicubic")
        ),
        64,
    ),
}


@pytest.mark.parametrize("form", NETWORKS)
def test_networks_of_others_ship_too(kdgap: Command, workdir: Path, form: str) -> None:
    spec, size = NETWORKS[form]
    if spec.name.startswith("timm:"):
        pytest.importorskip("timm")
    source = weights_file(workdir.parent / "w.safetensors", spec, size)
    images = workdir.parent / "images"
    images.mkdir()
    rng = np.random.default_rng(0)
    for number in range(3):
        pixels = rng.integers(0, 256, (40 + number, 70, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(images / f"{number}.png")
    words = ("--to", form, "--out", f"w.{form}", "--images", images)
    done = kdgap("export", source, *words)
    assert done.returncode == 0, done
    # Photographs become 32x32, as the images that it was trained on, and 64x64 after that.
    assert open_model(Path(f"w.{form}")).facts.fitted_size == (32, 32)
    expected = answers(kdgap("predict", source, images, "--top", 10, "--json"))
    given = answers(kdgap("predict", f"w.{form}", images, "--top", 10, "--json"))
    for image, guesses in expected.items():
        assert given[image][0][0] == guesses[0][0]
        assert dict(given[image]) == pytest.approx(dict(guesses), abs=1e-4)
    card = Path(f"w.{form}.md").read_text()
    assert "these weights | unknown" in card
    assert spec.name.partition(":")[0] in card


def test_hostile_names_steer_nothing(kdgap: Command, workdir: Path) -> None:
    hostile = "a\x1b[31m|b`<i>\u202e\nc"
    names = (hostile, "---", *CLASSES[2:])
    path = workdir.parent / "w.safetensors"
    source = weights_file(path, ModelSpec(name="resnet8", width=0.125), 32, classes=names)
    assert kdgap("export", source, "--to", "hub", "--out", "hub").returncode == 0
    for file in Path("hub").iterdir():
        if file.suffix != ".safetensors":
            text = file.read_text()
            assert "\x1b" not in text
            assert "\u202e" not in text
    assert "a[31m\\|b\\`&lt;i&gt;" in Path("hub/README.md").read_text()
    assert json.loads(Path("hub/config.json").read_text())["id2label"]["0"] == hostile
    Image.new("RGB", (32, 32)).save("black.png")
    done = kdgap("predict", "hub", "black.png", "--top", 10)
    assert "\x1b" not in done.stdout
    assert "\u202e" not in done.stdout


def test_what_cannot_be_exported_is_refused(
    kdgap: Command, shipped: Path, digits_teacher: Path, refused: Refused, workdir: Path
) -> None:
    Path("there.onnx").write_bytes(b"old")
    Path("half.pt2.md").write_text("old")
    Path("folder").mkdir()
    (workdir / "w.pth").write_bytes(b"\x80\x02}.")
    for words, expected in (
        ((digits_teacher, "--to", "onxx"), "did you mean 'onnx'?"),
        ((digits_teacher,), "give a format with --to: pt2, onnx"),
        ((digits_teacher, "--to", "onnx", "--out", "there.onnx"), "there already"),
        ((digits_teacher, "--to", "pt2", "--out", "half.pt2"), "half.pt2.md: is there already"),
        ((digits_teacher, "--to", "hub", "--out", "folder"), "there already"),
        ((digits_teacher, "--to", "onnx", "--out", "a.pt2"), "ends in .onnx"),
        ((digits_teacher, "--to", "hub", "--licence", "a\nb"), "--licence"),
        ((shipped / "s.onnx", "--to", "pt2"), "exported already"),
        (("nowhere", "--to", "pt2"), "not found"),
        (("folder", "--to", "pt2"), "neither a run nor"),
        (("w.pth", "--to", "pt2"), "a pickle is never loaded"),
        ((digits_teacher, "--to", "hub", "--images", "folder"), "no image there"),
    ):
        assert expected in refused(kdgap, "export", *words)


def test_what_cannot_be_predicted_is_refused(
    kdgap: Command, shipped: Path, refused: Refused, workdir: Path
) -> None:
    Image.new("RGB", (8, 8)).save("good.png")
    Path("bad.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    Path("bad.onnx").write_bytes(b"nothing")
    Path("none.onnx").write_bytes(b"")
    Path("bad.pt2").write_bytes(b"PK\x03\x04")
    Path("bare.pt2").write_bytes(read_bytes(shipped / "s.onnx"))
    (workdir / "empty").mkdir()
    for words, expected in (
        ((shipped / "s.onnx", "good.png", "bad.png"), "bad.png: "),
        ((shipped / "s.onnx", "empty"), "no image there"),
        ((shipped / "s.onnx", "nowhere.png"), "not found"),
        ((shipped / "s.onnx", "good.png", "--device", "cuda"), "computed on the CPU"),
        (("bad.onnx", "good.png"), "is no ONNX file"),
        (("none.onnx", "good.png"), "none.onnx: is empty; write it again"),
        (("bad.pt2", "good.png"), "no .pt2 archive"),
        (("bare.pt2", "good.png"), "no .pt2 archive"),
        (("empty", "good.png"), "neither a run nor"),
        (("nowhere", "good.png"), "not found"),
    ):
        assert expected in refused(kdgap, "predict", *words)


def test_an_onnx_file_reads_no_other_file(kdgap: Command, shipped: Path, refused: Refused) -> None:
    onnx = pytest.importorskip("onnx")
    model = onnx.load_model_from_string(read_bytes(shipped / "s.onnx"))
    tensor = next(t for t in model.graph.initializer if len(t.raw_data) > 64)
    Path("beside.bin").write_bytes(tensor.raw_data)
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "beside.bin"
    Path("other.onnx").write_bytes(model.SerializeToString())
    Image.new("RGB", (8, 8)).save("good.png")
    assert "keeps weights in other files" in refused(kdgap, "predict", "other.onnx", "good.png")
    # A constant is a tensor, too.
    model.graph.node[0].attribute.add(name="value", type=4).t.CopyFrom(tensor)
    model.graph.ClearField("initializer")
    Path("other.onnx").write_bytes(model.SerializeToString())
    assert "keeps weights in other files" in refused(kdgap, "predict", "other.onnx", "good.png")


def test_a_missing_extra_is_named(
    kdgap: Command, shipped: Path, digits_teacher: Path, refused: Refused, monkeypatch: Any
) -> None:
    Image.new("RGB", (8, 8)).save("good.png")
    for missing, words in (
        ("onnxruntime", ("predict", shipped / "s.onnx", "good.png")),
        ("onnxscript", ("export", digits_teacher, "--to", "onnx")),
    ):
        monkeypatch.setitem(sys.modules, missing, None)
        assert refused(kdgap, *words) == (
            f"{missing} is not installed; `pip install 'kdgap[onnx]'` brings it"
        )


FACTORY = """
from torch import nn

class Odd(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.fc = nn.Linear(3, classes)

    def forward(self, x):
        if x.mean() > 0.5:  # no graph says this
            x = 1 - x
        return self.fc(x.mean((2, 3)))

def odd(num_classes):
    return Odd(num_classes)
"""


def test_a_network_that_is_no_graph_says_what_to_do(
    kdgap: Command, refused: Refused, workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (workdir.parent / "shipped_factory.py").write_text(FACTORY)
    monkeypatch.syspath_prepend(str(workdir.parent))
    spec = ModelSpec(name="shipped_factory:odd")
    source = weights_file(workdir.parent / "w.safetensors", spec, 32)
    words = refused(kdgap, "export", source, "--to", "pt2")
    assert "shipped_factory:odd cannot be exported as a graph" in words
    assert "--to safetensors or --to hub" in words
    assert kdgap("export", source, "--to", "safetensors", "--out", "w.safetensors").returncode == 0


def test_a_study_is_no_network_and_a_network_no_study(kdgap: Command, refused: Refused) -> None:
    study = Path("st")
    study.mkdir()
    (study / "study.yaml").write_text("{}")
    (study / "runs").mkdir()
    assert "is a study; name one of its runs" in refused(kdgap, "predict", "st", "x.png")
    words = ("export", "st", "--to", "onnx", "--licence", "mit")
    assert "--licence goes with a run or a weights file" in refused(kdgap, *words)


def test_what_is_refused_at_once_loads_no_torch(digits_teacher: Path, workdir: Path) -> None:
    code = (
        "import sys, atexit\n"
        "atexit.register(lambda: print('torch' in sys.modules))\n"
        "from kdgap.cli import main\n"
        "main()"
    )
    for words in (
        ("export", str(digits_teacher), "--to", "onxx"),
        ("predict", "nowhere", "x.png"),
    ):
        command = [sys.executable, "-c", code, *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (2, "False\n"), done


def test_measuring_an_exported_file_keeps_what_it_says_of_itself(
    kdgap: Command, shipped: Path, workdir: Path
) -> None:
    copy = workdir / "copy.safetensors"
    copy.write_bytes(read_bytes(shipped / FILES["safetensors"]))
    before = open_source(copy).facts
    done = kdgap("evaluate", copy, "--write-card")
    assert done.returncode == 0, done.stderr
    after = open_source(copy).facts
    assert before is not None
    assert after == before
    assert after.licence == "apache-2.0"
