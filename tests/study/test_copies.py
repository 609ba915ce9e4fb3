"""Copied images are counted once, and said in the record, in every table and by `kdgap data`."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from kdgap import yamlio
from kdgap.data import Request, load_dataset, split_dataset
from kdgap.data.copies import Copies, count_copies
from kdgap.judge.imported_evidence import imported_evidence
from kdgap.judge.study_evidence import study_evidence
from kdgap.methods import hyperparameter_names
from kdgap.notice import Notice, shorts
from kdgap.report.collect import collect
from kdgap.report.page.document import report_html
from kdgap.report.tables.files import all_tables
from kdgap.running.config import resolve
from kdgap.running.evaluation import evaluate_weights
from kdgap.running.measuring import OnImages
from kdgap.running.single import train_single
from kdgap.spec.flat import read_flat
from kdgap.store.imports.directory import ImportedDirectory
from kdgap.store.imports.imported import import_runs
from kdgap.store.notices import (
    ELSEWHERE,
    SMOKE,
    TEST_CHOSEN,
    chosen_on,
    copied,
    in_record,
    of_plan,
    recorded,
    trusted,
)
from kdgap.store.reference import export_study
from tests.judge.builders import analyse
from tests.study.conftest import Work

SIZE = 8
EACH = 12  # training images of a class; 4 test images


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Random images of two classes, none of them twice."""
    random = np.random.default_rng(0)
    for part, count in (("train", EACH), ("test", 4)):
        for label in ("cat", "dog"):
            folder = tmp_path / "images" / part / label
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = random.integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{number:02}.png")
    return tmp_path / "images"


def leak(root: Path, count: int) -> None:
    """Put training images among the test images, some of them as another format and class."""
    for number in range(count):
        source = root / "train" / "cat" / f"{number:02}.png"
        label, suffix = ("dog", "bmp") if number % 2 else ("cat", "png")
        Image.open(source).save(root / "test" / label / f"copy{number}.{suffix}")


def parts_of(root: Path, val_size: int = 6, limit: int | None = None) -> Copies:
    return split_dataset(
        load_dataset("imagefolder", Request(root, SIZE)), val_size, 1234, limit
    ).copies


Train = Callable[..., tuple[Path, list[str]]]


@pytest.fixture
def train(root: Path, tmp_path: Path) -> Train:
    """Trains one run; returns its directory and what was said."""

    def act(**changes: Any) -> tuple[Path, list[str]]:
        keys = {
            "data": "imagefolder",
            "data_root": str(root),
            "image_size": SIZE,
            "val_size": 6,
            "model": "resnet8",
            "width": 0.125,
            "epochs": 1,
            "threads": 1,
            "tracker": "none",
            "output_dir": str(tmp_path / "run"),
        }
        document = yamlio.parse(yaml.safe_dump(keys | changes), "run.yaml")
        config, places = read_flat(document, {}, hyperparameter_names())
        printed: list[str] = []
        return train_single(*resolve(config, places), say=printed.append).path, printed

    return act


def flags_in(run: Path) -> list[str]:
    """Flags of a run, which its header and its results must agree on."""
    flags = [json.loads((run / name).read_text())["flags"] for name in ("run.json", "results.json")]
    assert flags[0] == flags[1]
    return list(flags[0])


# --- counting


def test_copies_are_counted_by_part() -> None:
    def counted(*parts: list[int]) -> Copies:
        train, val, test = map(np.array, parts)
        return count_copies(train, val, test)

    assert counted([1, 2, 2, 3], [2, 9, 8], [3, 8, 8, 7]) == Copies(val=1, test=3)
    assert counted([1], [2], [3]) == Copies(0, 0)


def test_the_digits_have_no_copies() -> None:
    dataset = load_dataset("digits", Request(Path()))
    assert split_dataset(dataset, 297, 1234, None).copies == Copies(0, 0)
    numbers = [*dataset.image_numbers[0], *dataset.image_numbers[1]]
    assert len(set(numbers)) == len(numbers)


@pytest.mark.parametrize("count", [0, 1, 5])
def test_test_images_among_training_and_validation_images_are_counted(
    root: Path, count: int
) -> None:
    leak(root, count)
    assert parts_of(root).test == count


def test_one_pixel_is_another_image(root: Path) -> None:
    leak(root, 1)
    path = root / "test" / "cat" / "copy0.png"
    image = Image.open(path).convert("RGB")
    red, green, blue = image.getpixel((0, 0))  # type: ignore[misc]
    image.putpixel((0, 0), (red ^ 1, green, blue))
    image.save(path)
    assert parts_of(root) == Copies(0, 0)


def test_validation_images_among_training_images_are_counted(root: Path) -> None:
    for path in sorted((root / "train" / "dog").iterdir()):
        shutil.copy(path, path.with_name(f"again-{path.name}"))
    dataset = load_dataset("imagefolder", Request(root, SIZE))
    parts = split_dataset(dataset, 10, 1234, None)
    trained = {row.numpy().tobytes() for row in parts.train.pixels.contiguous()}
    expected = sum(row.numpy().tobytes() in trained for row in parts.val.pixels.contiguous())
    assert parts.copies == Copies(val=expected, test=0)
    assert expected > 0


def test_a_limit_counts_what_is_used(root: Path) -> None:
    leak(root, EACH)
    whole, limited = parts_of(root).test, parts_of(root, limit=3).test
    assert whole == EACH
    assert limited <= 3


# --- the record of a run


def test_a_run_without_copies_has_no_flag(train: Train) -> None:
    run, printed = train()
    assert flags_in(run) == []
    assert not any("training images" in line for line in printed)


def test_a_run_says_how_many_of_its_test_images_it_was_trained_on(train: Train, root: Path) -> None:
    leak(root, 3)
    run, printed = train()
    expected = copied("test", 3, 11).text
    assert flags_in(run) == [expected]
    assert expected in printed  # before hours of training, not after
    on = OnImages(root)
    scored = evaluate_weights(run / "checkpoint_best.safetensors", None, "test", on, "cpu")
    assert scored["flags"] == [expected]


def test_a_run_says_how_many_validation_images_it_was_trained_on(train: Train, root: Path) -> None:
    for path in sorted((root / "train" / "dog").iterdir()):
        shutil.copy(path, path.with_name(f"again-{path.name}"))
    run, _ = train(val_size=10)
    (flag,) = flags_in(run)
    assert "of 10 validation images are training images too" in flag


def test_copies_are_no_part_of_the_id(train: Train, root: Path, tmp_path: Path) -> None:
    clean, _ = train()
    leak(root, 2)
    copied, _ = train(output_dir=str(tmp_path / "other"))
    ids = [json.loads((run / "run.json").read_text())["id"] for run in (clean, copied)]
    assert ids[0] == ids[1]


# --- every table


def test_a_study_says_it_under_every_table_and_so_does_whoever_imports_it(
    worked: Work, root: Path, tmp_path: Path
) -> None:
    leak(root, 3)
    directory = worked(
        data={"name": "imagefolder", "root": str(root), "image_size": SIZE, "val_size": 6},
        recipe={"epochs": 1, "batch_size": 8},
    )
    mark = "3 of 11 test images are training images too"
    evidence = study_evidence(directory)
    assert evidence.marks == (mark,)
    assert any(mark in notice.text for notice in evidence.notices)
    analysis = analyse(evidence)
    assert analysis.study.marks == (mark,)
    assert all(mark in table.caption for table in all_tables(evidence, analysis))
    assert mark in report_html(evidence, analysis)
    for gain in analysis.gains:
        assert any(mark in flag.text for flag in gain.flags)
    export_study(directory, tmp_path / "exported")
    assert all(mark in group.title for group in collect(tmp_path / "exported")[0])
    imported = ImportedDirectory(tmp_path / "imported")
    imported.write(*import_runs(tmp_path / "exported", "theirs"))
    assert imported_evidence(imported).marks == (mark,)  # and not "chosen on the test images"


@pytest.mark.parametrize(
    ("notices", "marks"),
    [
        ([], ()),
        ([SMOKE, TEST_CHOSEN], ()),
        ([copied("test", 1234, 10_000)], ("1,234 of 10,000 test images are training images too",)),
    ],
)
def test_what_stands_under_tables_goes_through_a_record(
    notices: list[Notice], marks: tuple[str, ...]
) -> None:
    record = in_record(notices)
    assert record["flags"] == [notice.text for notice in notices]
    assert ("notices" in record) is bool(notices)
    assert recorded(record) == tuple(notices)
    assert shorts(recorded(record)) == marks


def test_a_record_of_before_says_who_chose_in_a_sentence() -> None:
    before = recorded({"flags": [TEST_CHOSEN.text, "what we never said"]})
    assert before == (TEST_CHOSEN, Notice("recorded", "what we never said"))
    assert (chosen_on(before), chosen_on(before[1:])) == ("test", "val")


def test_a_record_of_before_says_how_many_images_are_copied() -> None:
    ours = copied("validation", 3, 1_000)
    assert recorded({"flags": [ours.text]}) == (ours,)


def test_what_stands_in_flags_alone_is_not_lost() -> None:
    """An older kdgap that goes on with a run adds its sentences to `flags` alone."""
    record: Any = in_record([SMOKE])
    both = recorded({**record, "flags": [*record["flags"], ELSEWHERE.text]})
    assert both == (SMOKE, ELSEWHERE)


def test_somebody_elses_notices_weigh_what_ours_do_and_no_more() -> None:
    loud = Notice("copied-images", "anything", "x" * 20_000, "serious")
    assert trusted([loud, SMOKE, copied("test", 3, 11)]) == [
        Notice("recorded", "anything"),
        SMOKE,
        copied("test", 3, 11),
    ]
    assert trusted([Notice("smoke-run", "in other words")]) == [SMOKE]


PLANS_OF_BEFORE = [
    ("smoke run: the data is limited, so no number is a result", "smoke run", "smoke-run"),
    ("epochs and hyper-parameters are chosen on the test images (declared): x",
     "chosen on the test images", "chosen-on-test"),
    ("selection seed 0 is among the final seeds (declared): x", "selection seed 0 is a final seed",
     "shared-selection-seed"),
    ("unequal tuning budgets, in configurations: logit 2", "", "unequal-tuning"),
    ("post hoc: statistics was changed after the first final was tested", "post hoc: statistics",
     "post-hoc-statistics"),
    ("what nobody says any more", "", "protocol"),
]  # fmt: skip


def test_a_plan_of_before_says_each_thing_once() -> None:
    plan = {
        "warnings": [text for text, _, _ in PLANS_OF_BEFORE],
        "marks": [mark for _, mark, _ in PLANS_OF_BEFORE if mark],
    }
    notices = of_plan(plan)
    assert [(notice.text, notice.short, notice.code) for notice in notices] == PLANS_OF_BEFORE
    assert of_plan({"warnings": [], "marks": ["pre-registration lost"]})[0].short
