"""What cannot be a setting splits no configuration; what splits one is named, with the way out."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdgap.errors import BadInputError
from kdgap.judge.imported_evidence import evidence_of
from kdgap.report.collect import collect
from kdgap.store.imports.bookkeeping import (
    WHY,
    Choices,
    Sample,
    is_bookkeeping,
    is_hyperparameter,
    set_aside,
)
from kdgap.store.imports.imported import import_runs
from tests.judge.builders import analyse
from tests.store.foreign_files import PLAIN, findings, history, write

BOOKKEEPING = [
    *("gpu", "gpu_name", "gpu_type", "device", "num_workers", "cuda_version", "cpu.model"),
    *("date", "timestamp", "started_at", "startTime", "wall_time", "train-time", "epoch_time"),
    *("time_per_epoch", "sec_per_step", "elapsed", "duration_s", "hostname", "node"),
    *("job_id", "uuid", "wandb_id", "wandb.url", "experiment_name", "output_dir", "data_root"),
    *("log_dir", "config_path", "model_path", "command", "argv", "git", "git_commit", "commit"),
    *("version", "torch_version", "versions.torch", "environment.anything", "peak_memory_mb"),
    *("throughput", "config.output_dir", "args.gpu", "pid", "username", "carbon_kg", "best_epoch"),
    *("test_loss", "val_loss_best", "top5_acc", "epochs_trained", "metrics.anything", "local_rank"),
    *("train_steps_per_second", "epoch", "artifact_uri"),
]  # fmt: skip
SETTINGS = [
    *("lr", "eta_min", "alpha", "temperature", "batch_size", "batch_size_per_gpu", "weight_decay"),
    *("drop_path", "drop_path_rate", "memory_bank_size", "lora_rank", "second_order", "poly_power"),
    *("teacher_path", "teacher_version", "teacher_weight_hash", "data_version", "split_file"),
    *("init_checkpoint_path", "cell", "settings", "method_parameters.time", "config.lr"),
    *("loss", "loss_weight", "grad_acc_steps", "model_name", "image_size", "kappa", "new"),
]  # fmt: skip


def test_names_tell_bookkeeping_from_settings() -> None:
    assert [key for key in BOOKKEEPING if not is_bookkeeping(key)] == []
    assert [key for key in SETTINGS if is_bookkeeping(key)] == []


def pair(folder: Path, more: Any, choices: Choices = Choices(), seeds: int = 5) -> Any:  # noqa: B008
    """Return import and gains of a baseline and a method; `more` gives each file's further keys."""
    for seed in range(seeds):
        for arm, own in (("baseline/resnet18", PLAIN), ("resnet50_to_resnet18_logit", {})):
            epochs = history(0.3 + seed / 10 + 0.05 * bool(own))
            write(folder, f"final/{arm}/seed{seed}", seed=seed, history=epochs,
                  **{**own, **more(seed, bool(own))})  # fmt: skip
    about, runs = import_runs(folder, "x", choices)
    return about, analyse(evidence_of(about, runs, "x"))


def sizes(analysis: Any) -> list[int]:
    return sorted(gain.n for gain in analysis.gains)


@pytest.mark.parametrize("key", BOOKKEEPING)
def test_bookkeeping_that_differs_splits_no_arm_and_is_named(tmp_path: Path, key: str) -> None:
    def more(seed: int, plain: bool) -> dict[str, Any]:
        value: Any = f"{seed // 2}-{plain}"  # shared by some seeds: no evidence but the name
        for name in reversed(key.split(".")[1:]):
            value = {name: value}
        return {key.split(".")[0]: value}

    about, analysis = pair(tmp_path, more)
    assert sizes(analysis) == [5]
    (finding,) = findings(about, "aside")
    assert key in finding["text"]
    assert "--setting KEY" in finding["text"]
    assert about["bookkeeping"] == {key: WHY["name"]}
    (flag,) = (flag for flag in analysis.flags if flag.code == "import-aside")
    assert key in flag.text


def test_what_is_the_same_everywhere_is_not_worth_a_word(tmp_path: Path) -> None:
    about, _ = pair(tmp_path, lambda seed, plain: {"gpu": "A100", "new": 1})
    assert findings(about, "aside") == findings(about, "split") == []


@pytest.mark.parametrize(
    "more",
    [
        lambda seed, plain: {"zeta": 100.5 + 2 * seed + plain},
        lambda seed, plain: {"zeta": f"{seed}{plain}"},
        lambda seed, plain: {"zeta": seed},  # the seed by another name
        lambda seed, plain: {"data_seed": seed, "zeta": seed * 7},
        lambda seed, plain: {"outer": {"zeta": [seed, plain]}},
        lambda seed, plain: {"loss": 0.1 + seed + plain / 10, "zeta": seed},
        lambda seed, plain: {"zeta": seed * 7, "theirs": seed % 2, "gpu": seed},
    ],
)
def test_what_differs_in_every_run_is_no_setting_and_is_named(tmp_path: Path, more: Any) -> None:
    about, analysis = pair(tmp_path, more)
    aside = [key for key, why in about["bookkeeping"].items() if why == WHY["behaviour"]]
    assert any(key.endswith("zeta") for key in aside)
    assert max(sizes(analysis)) == (3 if "theirs" in more(0, True) else 5)
    texts = [f["text"] for f in findings(about, "aside")]
    assert any(
        WHY["behaviour"] in text and "zeta" in text and "--setting" in text for text in texts
    )


@pytest.mark.parametrize(
    ("more", "keys"),
    [
        # A search at random: a hyper-parameter by name, or of one method only, or of one seed.
        (lambda seed, plain: {"lr": 0.1 + seed}, "lr"),
        (lambda seed, plain: {"config": {"kd_margin": 0.1 * seed}}, "config.kd_margin"),
        (lambda seed, plain: {} if plain else {"zeta": 0.3 * seed}, "zeta"),
        (lambda seed, plain: {"zeta": 0 if plain else seed + 1}, "zeta"),
        # A fact that some seeds share: nothing but its name could tell, and it has none.
        (lambda seed, plain: {"zeta": "A" if seed < 3 else "B"}, "zeta"),
        # Several at once.
        (lambda seed, plain: {"zeta": seed < 3, "theirs": seed < 3}, "theirs, zeta"),
        (lambda seed, plain: {"teacher_path": f"/t/{seed}"}, "teacher_path"),
    ],
)  # fmt: skip
def test_what_splits_a_configuration_is_named_with_the_way_out(
    tmp_path: Path, more: Any, keys: str
) -> None:
    about, analysis = pair(tmp_path, more)
    assert sizes(analysis) != [5]
    texts = [f["text"] for f in findings(about, "split")]
    assert any(f"differ only in {keys};" in text or f"differ in {keys};" in text for text in texts)
    options = " ".join(f"--ignore {key}" for key in keys.split(", "))
    assert any(text.endswith(f"import with {options}") for text in texts)
    (flag,) = (flag for flag in analysis.flags if flag.code == "import-split")
    assert keys.split(", ")[0] in flag.text
    assert all(any(remark.code == "split" for remark in gain.flags) for gain in analysis.gains)
    again, analysis = pair(tmp_path, more, Choices(ignore=tuple(keys.split(", "))))
    assert sizes(analysis) == [5]
    assert findings(again, "split") == []
    assert "averaged over as told by --ignore" in findings(again, "aside")[0]["text"]
    assert analysis.provenance["choices"]["ignore"] == keys.split(", ")


@pytest.mark.parametrize("key", ["gpu", "zeta", "config"])
def test_a_key_that_is_said_to_be_a_setting_is_one(tmp_path: Path, key: str) -> None:
    def more(seed: int, plain: bool) -> dict[str, Any]:
        return {"gpu": seed, "zeta": seed * 7, "config": {"path": seed}}

    about, analysis = pair(tmp_path, more, Choices(setting=(key,)))
    assert sizes(analysis) == [1] * 5
    texts = {f["text"].split(";")[0] for f in findings(about, "split")}
    assert any(("config.path" if key == "config" else key) in text for text in texts)


def test_a_search_of_one_seed_is_a_search(tmp_path: Path) -> None:
    """The same seed with many values of a key that nobody knows was tried on purpose."""
    for number in range(5):
        write(tmp_path, f"final/x/{number}", zeta=number, history=history(number / 10))
    about, runs = import_runs(tmp_path, "x")
    assert len({run["cell"] for run in runs}) == 5
    assert about["bookkeeping"] == {}
    assert len(findings(about, "split")) == 1


def test_two_values_are_two_settings(tmp_path: Path) -> None:
    about, analysis = pair(tmp_path, lambda seed, plain: {"zeta": seed}, seeds=2)
    assert sizes(analysis) == [1, 1]
    assert findings(about, "split")


def test_selection_seeds_that_a_fact_splits_are_named_and_a_grid_is_not(tmp_path: Path) -> None:
    for seed in (0, 1):
        for lr in (0.1, 0.2):
            write(tmp_path, f"select/p/logit/{lr}/seed{seed}", seed=seed, lr=lr, zeta=seed // 1,
                  history=history(lr + seed / 2))  # fmt: skip
    about, _ = import_runs(tmp_path, "x")
    assert {f["text"].split(";")[0] for f in findings(about, "split")} == {
        "configurations that differ only in zeta"
    }


@pytest.mark.parametrize(
    ("choices", "words"),
    [
        (Choices(ignore=("lrr",)), "--ignore lrr: no file has it (did you mean 'lr'?)"),
        (Choices(setting=("nothing",)), "--setting nothing: no file has it"),
        (Choices(ignore=("seed",)), "--ignore seed: says which run it is"),
        (Choices(setting=("best_val_acc",)), "--setting best_val_acc: is an outcome"),
        (Choices(ignore=("lr",), setting=("lr",)), "lr: both --ignore and --setting"),
    ],
)
def test_a_choice_that_cannot_be_is_refused(tmp_path: Path, choices: Choices, words: str) -> None:
    write(tmp_path, "final/x/seed0", lr=0.1)
    with pytest.raises(BadInputError) as caught:
        import_runs(tmp_path, "x", choices)
    assert words in str(caught.value)


def test_the_collector_leaves_bookkeeping_out_and_names_what_splits(tmp_path: Path) -> None:
    for seed in range(4):
        write(tmp_path, f"x/seed{seed}", seed=seed, gpu=seed, zeta=seed // 2)
    groups, remarks = collect(tmp_path)
    assert [len(group.runs) for group in groups] == [2, 2]
    assert [remark.split(": ")[1] for remark in remarks] == [
        "groups that are not averaged differ in zeta"
    ]


VALUES = st.one_of(st.integers(0, 3), st.sampled_from("ab"), st.none())


@given(st.lists(st.fixed_dictionaries({"a": VALUES, "b": VALUES, "gpu": VALUES}), min_size=1))
def test_no_two_values_of_one_seed_are_ever_averaged(files: list[dict[str, Any]]) -> None:
    """Whatever files say: a key with two values under one seed, all else equal, is a setting."""
    samples = [
        Sample("none", n % 3, {k: str(v) for k, v in file.items() if v is not None})
        for n, file in enumerate(files)
    ]
    aside = set_aside(samples, Choices())
    for key, why in aside.items():
        if why == WHY["behaviour"]:
            kept = [
                (
                    sample.seed,
                    sample.settings.get(key),
                    {k: v for k, v in sample.settings.items() if k not in aside},
                )
                for sample in samples
                if key in sample.settings
            ]
            assert not any(
                a[0] == b[0] and a[1] != b[1] and a[2] == b[2] for a in kept for b in kept
            )


@given(st.text())
def test_any_name_can_be_looked_at(name: str) -> None:
    assert is_bookkeeping(name) in (True, False)
    assert is_hyperparameter(name) in (True, False)
