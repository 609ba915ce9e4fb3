"""A study file is read as one value, or refused in one line with file, line and key."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from kdgap import yamlio
from kdgap.errors import BadInputError
from kdgap.spec.claims import Claim
from kdgap.spec.claims_file import read_claims
from kdgap.spec.study import StudySpec, preregistered
from kdgap.spec.study_file import read_study
from kdgap.yamlio import parse_assignments

STUDIES = Path(__file__).resolve().parents[2] / "configs" / "studies"

BASE = {
    "name": "name: s",
    "data": "data: {name: digits}",
    "models": "models: {big: {name: resnet14}, Small: {name: resnet8}, other: {name: resnet20}}",
    "pairs": "pairs: [{teacher: big, student: Small}]",
    "methods": "methods: {logit: {alpha: [0.1, 0.5], temperature: 2}, feature: {}}",
    "selection": "selection: {seeds: [100]}",
    "finals": "finals: {seeds: [0, 1]}",
}
SLOT = "teacher: big, student: Small, method: logit"


def text_of(*blocks: str) -> str:
    """The base study with some top-level blocks exchanged; these stand last, in their order."""
    kept = dict(BASE)
    for block in blocks:
        key = block.partition(":")[0]
        kept.pop(key, None)
        kept[key] = block
    return "\n".join(kept.values())


def read(*blocks: str, overrides: Mapping[str, object] | None = None) -> StudySpec:
    return read_study(yamlio.parse(text_of(*blocks), "s.yaml"), overrides or {})[0]


def refusal(*blocks: str, overrides: Mapping[str, object] | None = None) -> str:
    with pytest.raises(BadInputError) as caught:
        read(*blocks, overrides=overrides)
    return str(caught.value)


def ablation(of: str = "student: Small", change: str = "recipe.lr: 1", seeds: str = "[1]") -> str:
    return f"ablations: {{a: {{of: {{{of}}}, change: {{{change}}}, seeds: {seeds}}}}}"


def claim(*terms: str, measure: str = "gain", name: str = "c") -> str:
    given = ", ".join(f"{{{term}}}" for term in terms)
    return f"claims: [{{name: {name}, text: t, measure: {measure}, terms: [{given}]}}]"


VALUES = [
    *[("threads", v) for v in ("true", "0", "1.0", "'1'", "1025", ".nan")],
    *[("save_seconds", v) for v in ("true", "-1", ".nan", ".inf", "'9'", "3601", "null")],
    *[("keep_selection_weights", v) for v in ("1", "'true'", "yes", "null")],
    *[("precision", v) for v in ("fp16", "auto", "32", "true")],
    *[("description", v) for v in ("''", "3", "null", "[a]", '"a\\nb"', "x" * 1001)],
    *[("data", f"{{name: digits, split_seed: {v}}}") for v in ("-1", "true", "1.0", str(2**63))],
    *[("data", f"{{name: digits, val_size: {v}}}") for v in ("true", "1.5", "'9'")],
    *[("data", f"{{name: digits, limit: {v}}}") for v in ("true", "1.5", ".inf")],
    *[("data", v) for v in ("digits", "3", "[]", "null", "{name: ''}", "{name: 3}", "{}")],
    *[("models", f"{{big: {{name: resnet8, width: {v}}}}}") for v in ("true", ".nan", "'1'")],
    *[("models", f"{{big: {{name: resnet8, stem: {v}}}}}") for v in ("3x3", "true", "''")],
    *[("models", v) for v in ("{}", "[]", "null", "{big: resnet8}", "{big: null}", "{big: {}}")],
    *[("pairs", v) for v in ("[]", "{}", "null", "[big]", "[{teacher: big}]", "[[big, Small]]")],
    *[("pairs", f"[{{teacher: {v}, student: Small}}]") for v in ("3", "true", "null", "a/b")],
    *[("methods", v) for v in ("{}", "[logit]", "logit", "{logit: null}", "{logit: [1]}")],
    *[("recipe", v) for v in ("[]", "3", "null")],
    *[("selection", v) for v in ("[100]", "3", "{metric: acc}", "{split: train}")],
    *[("selection", f"{{allow_overlap: {v}}}") for v in ("1", "'true'", "yes", "null")],
    *[("finals", v) for v in ("[0]", "null", "{primary: first}", "{primary: true}")],
    *[("statistics", v) for v in ("[]", "{test: t}", "{power: 0.5}", "{power: 1}")],
    *[("statistics", f"{{confidence: {v}}}") for v in ("0.5", "1", "95", "true", ".nan")],
    *[("statistics", f"{{smallest_effect_pp: {v}}}") for v in ("0", "-1", "101", ".inf", "true")],
    *[("statistics", f"{{expected_std_pp: {v}}}") for v in ("0", ".nan", "'1'", "false")],
    *[("statistics", f"{{reference: {v}}}") for v in ("3", "''", "[logit]", "true")],
    *[("budgets", v) for v in ("{attempts: 0}", "{attempts: true}", "{hours: 0}", "{gib: -1}")],
    *[("budgets", v) for v in ("{hours: .inf}", "{gib: .nan}", "{hours: true}", "{gib: '1'}")],
    *[
        ("teachers", v)
        for v in ("[]", "3", "{recipe: []}", "{weights: [a]}", "{weights: {big: 3}}")
    ],
    *[("claims", v) for v in ("{}", "3", "null", "[c]")],
    *[("ablations", v) for v in ("[]", "3", "null", "{a: 3}")],
]
SEED_LISTS = [
    *[("teachers", "{seeds: %s}"), ("teachers", "{teach: %s}"), ("finals", "{seeds: %s}")],
    *[("selection", "{seeds: %s}"), ("ablations", ablation(seeds="%s").partition(": ")[2])],
]
BAD_SEEDS = ["[]", "3", "null", "[true]", "[-1]", "[1.0]", "['1']", "[null]", f"[{2**63}]", "[[1]]"]
WRONG = [
    *[f"{key}: {value}" for key, value in VALUES],
    *[f"{key}: {form % seeds}" for key, form in SEED_LISTS for seeds in BAD_SEEDS],
    *[claim(f"weight: {v}, {SLOT}") for v in ("true", ".nan", ".inf", "'1'", "null")],
    *[claim(f"weight: 1, {SLOT}", measure=v) for v in ("gains", "true", "''")],
    "claims: [{name: c, text: t, terms: []}]",
    "claims: [{name: c, text: '', terms: [{weight: 1}]}]",
    ablation(change=""),
    ablation(of=""),
    ablation(of="method: logit"),
    ablation(of="student: Small, method: logit"),
    ablation(of="teacher: big, student: Small"),
    ablation(of="teacher: big, method: logit"),
]


@pytest.mark.parametrize("block", WRONG)
def test_a_wrong_value_is_refused_in_one_line_that_names_file_line_and_key(block: str) -> None:
    message = refusal(block)
    key = block.partition(":")[0]
    assert message.startswith(f"s.yaml:{text_of(block).count(chr(10)) + 1}: {key}")
    assert message.count("s.yaml") == 1
    assert message.isprintable()
    assert len(message) < 300


@pytest.mark.parametrize(
    "block",
    [f"recipe: {{lr: {v}}}" for v in (".nan", ".inf", "[0.1]", "{a: 1}")]
    + [f"teachers: {{recipe: {{lr: {v}}}}}" for v in (".nan", "[0.1]")]
    + [f"methods: {{logit: {{alpha: {v}}}}}" for v in (".inf", "[0.1, .nan]", "[[1]]", "{a: 1}")]
    + [ablation(change=f"recipe.lr: {v}") for v in (".nan", "[0.5]", "[[1]]", "{a: 1}")],
)
def test_a_value_that_is_no_finite_scalar_is_refused_where_it_stands(block: str) -> None:
    message = refusal(block)
    assert message.startswith(f"s.yaml:{text_of(block).count(chr(10)) + 1}: ")
    assert message.isprintable()


@pytest.mark.parametrize("name", ["../x", "/abs", '"a\\nb"', '"a\\n"', "ünï", "''", ".x", "-x"])
@pytest.mark.parametrize(
    "form",
    [
        "name: %s",
        "models: {%s: {name: resnet8}}",
        "pairs: [{teacher: big, student: %s}]",
        "teachers: {weights: {%s: a.safetensors}}",
        "ablations: {%s: {of: {student: Small}, change: {recipe.lr: 1}, seeds: [1]}}",
        claim(f"weight: 1, {SLOT}", name="%s"),
    ],
)
def test_a_name_that_could_leave_its_folder_or_break_a_line_is_refused(
    form: str, name: str
) -> None:
    message = refusal(form.replace("%s", name))
    assert message.startswith(f"s.yaml:{text_of(form).count(chr(10)) + 1}: ")
    assert message.isprintable()


@pytest.mark.parametrize(
    "form", ["name: %s", "models: {%s: {name: resnet8}}", "pairs: [{teacher: %s, student: Small}]"]
)
def test_a_name_of_300_characters_is_refused_in_a_short_message(form: str) -> None:
    message = refusal(form % ("x" * 300))
    assert message.startswith("s.yaml:7: ")
    assert len(message) < 250
    assert "60" in message


def test_a_name_of_60_characters_is_accepted() -> None:
    assert read(f"name: {'x' * 60}").name == "x" * 60


UNKNOWN = [
    ("finls: {seeds: [1]}", "finls", "finals"),
    ("data: {name: digits, lmit: 5}", "data.lmit", "limit"),
    ("models: {big: {name: resnet8, widht: 1}}", "models.big.widht", "width"),
    ("teachers: {seds: [1]}", "teachers.seds", "seeds"),
    ("pairs: [{teacher: big, student: Small, studnt: x}]", "pairs.0.studnt", "student"),
    ("selection: {metrics: best_val_acc}", "selection.metrics", "metric"),
    ("finals: {primry: last}", "finals.primry", "primary"),
    (ablation().replace("seeds", "change_: {}, seeds"), "ablations.a.change_", "change"),
    (ablation(of="student: Small, studnt: x"), "ablations.a.of.studnt", "student"),
    (claim(f"weight: 1, {SLOT}").replace("text", "txt: a, text"), "claims.0.txt", "text"),
    (claim(f"weight: 1, wieght: 2, {SLOT}"), "claims.0.terms.0.wieght", "weight"),
    ("statistics: {confidnce: 0.9}", "statistics.confidnce", "confidence"),
    ("budgets: {houres: 1}", "budgets.houres", "hours"),
]


@pytest.mark.parametrize(("block", "key", "meant"), UNKNOWN, ids=[key for _, key, _ in UNKNOWN])
def test_an_unknown_key_at_any_level_is_named_with_the_nearest_one(
    block: str, key: str, meant: str
) -> None:
    line = text_of(block).count("\n") + 1
    assert refusal(block) == f"s.yaml:{line}: unknown key {key!r} (did you mean {meant!r}?)"


@pytest.mark.parametrize("key", ["name", "data", "models", "pairs", "methods"])
def test_a_study_without_a_needed_key_names_it(key: str) -> None:
    lines = [block for name, block in BASE.items() if name != key]
    with pytest.raises(BadInputError) as caught:
        read_study(yamlio.parse("\n".join(lines), "s.yaml"), {})
    assert str(caught.value) == f"s.yaml: {key}: Field required"


@pytest.mark.parametrize("text", ["- a", "study", "[]", "---", "3"])
def test_a_file_that_is_no_mapping_is_refused(text: str) -> None:
    with pytest.raises(BadInputError, match=r"^s\.yaml: expected `key: value` lines$"):
        read_study(yamlio.parse(text, "s.yaml"), {})


def test_every_complaint_about_a_file_is_in_the_one_line() -> None:
    message = refusal("finals:\n  seeds: []\n  primary: 3", "budgets: {hours: 0}")
    assert "\n" not in message
    for place in ("s.yaml:8: finals.seeds", "s.yaml:9: finals.primary", "s.yaml:10: budgets.hours"):
        assert place in message


# --- what concerns several keys at once; the last line is the one to blame

TOGETHER = [
    ("finals: {seeds: [4, 5, 4]}", "finals.seeds: seed 4 twice"),
    ("teachers: {seeds: [0, 1, 1], teach: [0]}", "teachers.seeds: seed 1 twice"),
    ("teachers: {seeds: [0, 1], teach: [1, 1]}", "teachers.teach: seed 1 twice"),
    ("selection: {seeds: [9, 9]}", "selection.seeds: seed 9 twice"),
    (ablation(seeds="[2, 2]"), "ablations.a.seeds: seed 2 twice"),
    ("teachers: {seeds: [0, 1], teach: [2]}", "seed 2 is not among the teachers' seeds"),
    ("methods: {logit: {alpha: []}}", "alpha: an empty grid"),
    ("methods: {logit: {alpha: [0.1, 0.5, 0.1]}}", "alpha: a value is given twice"),
    ("methods: {feature: {norm: [none, 'none']}}", "norm: a value is given twice"),
    ("pairs: [{teacher: bg, student: Small}]", "unknown model 'bg' (did you mean 'big'?)"),
    ("pairs: [{teacher: big, student: Smal}]", "unknown model 'Smal' (did you mean 'Small'?)"),
    ("pairs: [{teacher: big, student: big_}]", "known: big, Small, other"),
    (
        "pairs:\n- {teacher: big, student: Small}\n- {teacher: other, student: Small}\n"
        "- {teacher: big, student: Small}",
        "this pair is given twice",
    ),
    ("selection: {seeds: [100, 1]}", "selection seed 1 is among the final seeds"),
    ("selection: {split: test}", "declare it with allow_test: true"),
    ("data: {name: digits, val_size: 0}", "val_size: 0 and selection.split: test go together"),
    ("models: {big: {name: resnet8}, Small: {name: resnet8}, BIG: {name: resnet8}}", "case only"),
    ("teachers: {weights: {bigg: a.safetensors}}", "no pair's teacher (did you mean 'big'?)"),
    ("teachers: {weights: {Small: a.safetensors}}", "'Small' is no pair's teacher"),
    ("teachers: {weights: {big: a.st}, seeds: [0, 1], teach: [0, 1]}", "use one teach seed"),
    (ablation(of="student: Smal"), "unknown model 'Smal' (did you mean 'Small'?)"),
    (ablation(of="teacher: bgi"), "unknown model 'bgi' (did you mean 'big'?)"),
    (ablation(of="teacher: other"), "'other' is no pair's teacher"),
    (ablation(of=SLOT.replace("big", "other")), "other → Small is no pair of this study"),
    (ablation(of=SLOT.replace("logit", "lgit")), "unknown method 'lgit' (did you mean 'logit'?)"),
    (ablation(of=SLOT.replace("logit", "none")), "unknown method 'none'"),
    (claim(f"weight: 1, {SLOT}".replace("big", "other")), "other → Small is no pair of"),
    (claim(f"weight: 1, {SLOT}".replace("logit", "featur")), "(did you mean 'feature'?)"),
    (claim("weight: 1, student: Small"), "claim 'c'"),
    (claim("weight: 1, student: big", measure="accuracy"), "'big' is no student of this study"),
    (claim("weight: 1", measure="accuracy"), "claim 'c'"),
    (claim("weight: 1, ablation: a", measure="accuracy"), "unknown ablation 'a'"),
]


@pytest.mark.parametrize(("block", "words"), TOGETHER, ids=[block for block, _ in TOGETHER])
def test_keys_that_contradict_each_other_are_refused_in_one_line(block: str, words: str) -> None:
    message = refusal(block)
    line = text_of(block).count("\n") + 1
    assert message.startswith(f"s.yaml:{line}: ")
    assert words in message
    assert message.count("s.yaml") == 1
    assert message.isprintable()


def test_a_grid_without_a_selection_is_refused_where_the_grid_stands() -> None:
    grid = "methods:\n  logit:\n    temperature: 2\n    alpha: [0.1, 0.5]"
    message = refusal("selection: null", grid)
    assert message.startswith("s.yaml:10: alpha has 2 values to choose from")
    assert read("selection: null", grid.replace("0.1, ", "")).selection is None


def test_an_overlap_of_selection_and_finals_has_to_be_declared() -> None:
    assert "selection.allow_overlap: true" in refusal("selection: {seeds: [1]}")
    declared = read("selection: {seeds: [1], allow_overlap: true}").selection
    assert declared is not None
    assert declared.allow_overlap


def test_choosing_on_the_test_images_has_to_be_declared_and_takes_no_validation_images() -> None:
    declared = "selection: {split: test, allow_test: true}"
    without = "data: {name: digits, val_size: 0}"
    assert "go together" in refusal(declared)
    assert "go together" in refusal("selection: {allow_test: true}", without)
    assert read(without, declared).data.val_size == 0


def test_claims_and_ablations_whose_names_differ_in_case_only_are_refused() -> None:
    term = f"weight: 1, {SLOT}"
    two = claim(term)[:-1] + ", " + claim(term, name="C").partition("[")[2]
    assert refusal(two).startswith("s.yaml:8: claims: 'c' is there twice")
    entry = ablation().partition("{")[2][:-1]
    both = f"ablations: {{{entry}, {entry.replace('a:', 'A:', 1)}}}"
    assert refusal(both).startswith("s.yaml:8: ablations: 'a' is there twice")


@pytest.mark.parametrize("more", ["student: Small", "teacher: big", "method: logit"])
def test_an_ablation_stands_alone_in_a_claim(more: str) -> None:
    given = claim(f"weight: 1, ablation: a, {more}", measure="accuracy")
    assert "an ablation stands alone" in refusal(ablation(), given)
    assert "measure: accuracy" in refusal(ablation(), claim("weight: 1, ablation: a"))


@pytest.mark.parametrize("term", ["ablation: a", "student: Small", SLOT])
def test_a_claim_about_accuracies_may_name_a_slot_a_baseline_or_an_ablation(term: str) -> None:
    first, second = f"weight: 0.5, {term}", "weight: -0.5, ablation: a, arm: base"
    assert len(read(ablation(), claim(first, second, measure="accuracy")).claims) == 1


@pytest.mark.parametrize("more", [(), (f"weight: -0.5, {SLOT}",)])
def test_accuracies_are_compared_never_claimed_alone(more: tuple[str, ...]) -> None:
    given = claim("weight: 1, student: Small", *more, measure="accuracy")
    message = refusal(ablation(), given)
    assert "claim 'c': the weights of accuracies have to sum to 0" in message
    document = yamlio.parse(given, "claims.yaml")
    with pytest.raises(BadInputError, match=r"claims\.yaml:1: .*have to sum to 0"):
        read_claims(document)


@pytest.mark.parametrize(
    ("block", "words"),
    [
        ("finals: &f {seeds: [1]}", "anchors and aliases are not supported"),
        ("finals: *f", "anchors and aliases are not supported"),
        ("finals: !!map {seeds: [1]}", "tags are not supported"),
        ("finals: {seeds: [01]}", "octal"),
        ("finals: {seeds: [1], seeds: [2]}", "duplicate key 'seeds'"),
    ],
)
def test_yaml_that_no_study_needs_is_refused(block: str, words: str) -> None:
    message = refusal(block)
    assert message.startswith("s.yaml:7: ")
    assert words in message


# --- overrides


def test_overrides_beat_the_file_at_any_depth_and_make_groups_that_are_not_there() -> None:
    changes: dict[str, object] = {
        "finals.seeds": [7, 8],
        "recipe.epochs": 3,
        "teachers.recipe.lr": 0.05,
        "models.big.width": 0.5,
        "methods.logit.alpha": 0.9,
        "budgets.hours": 2,
        "name": "t",
    }
    study = read(overrides=changes)
    assert (study.name, study.finals.seeds, study.recipe) == ("t", [7, 8], {"epochs": 3})
    assert study.teachers.recipe == {"lr": 0.05}
    assert study.models["big"].width == 0.5
    assert study.methods["logit"] == {"alpha": 0.9, "temperature": 2}
    assert study.budgets.hours == 2


def test_overrides_leave_the_document_as_it_was() -> None:
    document = yamlio.parse(text_of(), "s.yaml")
    read_study(document, {"finals.seeds": [7], "models.big.name": "resnet20"})
    assert read_study(document, {})[0] == read()


@pytest.mark.parametrize(
    ("path", "value", "key"),
    [
        ("finals.seeds", [], "finals.seeds"),
        ("finals.seeds", [1, True], "finals.seeds.1"),
        ("finals", {"seeds": ["a"]}, "finals.seeds.0"),
        ("budgets.hours", float("nan"), "budgets.hours"),
        ("name", "../x", "name"),
        ("pairs", [{"teacher": "big", "student": 3}], "pairs.0.student"),
    ],
)
def test_a_bad_override_is_blamed_on_the_command_line(path: str, value: Any, key: str) -> None:
    assert refusal(overrides={path: value}).startswith(f"command line: {key}: ")


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"finals.seds": [1]}, "command line: unknown key 'finals.seds' (did you mean 'seeds'?)"),
        ({"pairs": [{"teacher": "a", "student": "Small"}]}, "command line: teacher: unknown model"),
        ({"selection.seeds": [1]}, "command line: selection seed 1 is among"),
        ({"finals.seeds": [3, 3]}, "command line: finals.seeds: seed 3 twice"),
        ({"methods.logit.alpha": []}, "command line: alpha: an empty grid"),
        ({"data.val_size": 0}, "command line: val_size: 0"),
        ({"pairs.0.teacher": "other"}, "--set pairs.0.teacher: pairs is no group of keys"),
        ({"name.x": 1}, "--set name.x: name is no group of keys"),
        ({"data.name.x.y": 1}, "--set data.name.x.y: name is no group of keys"),
    ],
)
def test_an_override_that_does_not_fit_is_named(overrides: dict[str, object], words: str) -> None:
    assert refusal(overrides=overrides).startswith(words)


def test_a_bad_value_of_the_file_is_not_blamed_on_an_override_beside_it() -> None:
    message = refusal("finals: {seeds: [], primary: best}", overrides={"finals.primary": "last"})
    assert message.startswith("s.yaml:7: finals.seeds: ")


def test_override_words_are_read_with_the_rules_of_a_file() -> None:
    words = ["finals.seeds=[0, 1]", " recipe.lr = 1e-3", "name=a=b", "selection=null", "data.root="]
    assert parse_assignments(words, nested=True) == {
        "finals.seeds": [0, 1],
        "recipe.lr": 0.001,
        "name": "a=b",
        "selection": None,
        "data.root": "",
    }


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["finals.seeds"], "--set finals.seeds: expected key.path=value"),
        (["=1"], "--set =1: expected key.path=value"),
        ([".seeds=1"], "--set .seeds=1: expected key.path=value"),
        (["finals.=1"], "--set finals.=1: expected key.path=value"),
        (["a..b=1"], "--set a..b=1: expected key.path=value"),
        (["name=a", "name=b"], "--set name: given twice"),
        (["finals.seeds=[1"], "--set finals.seeds:1: "),
        (["name=&a b"], "--set name:1: anchors and aliases are not supported"),
        (["threads=01"], "--set threads:1: '01' could mean octal"),
        (["x" * 500], "--set xxx"),
    ],
)
def test_a_bad_override_word_is_refused(words: list[str], expected: str) -> None:
    with pytest.raises(BadInputError) as caught:
        parse_assignments(words, nested=True)
    assert str(caught.value).startswith(expected)
    assert len(str(caught.value)) < 150


# --- the studies of the repository, and what is pre-registered


@pytest.mark.parametrize("path", sorted(STUDIES.glob("*.yaml")), ids=lambda path: path.stem)
def test_a_study_of_the_repository_reads_and_comes_back_from_json(path: Path) -> None:
    study, _ = read_study(yamlio.load(path), {})
    assert study.name == path.stem
    stored = json.loads(json.dumps(study.model_dump(mode="json")))
    assert StudySpec.model_validate(stored) == study


def test_defaults_are_the_protocol() -> None:
    study = read("selection: {}", "finals: {}")
    assert study.selection is not None
    assert (study.selection.seeds, study.selection.split) == ([1000], "val")
    assert (study.finals.seeds, study.finals.primary) == ([0, 1, 2, 3, 4], "best")
    assert (study.teachers.seeds, study.teachers.teach) == ([0], [0])
    assert (study.precision, study.threads, study.smoke) == ("fp32", None, False)
    assert (study.statistics.test, study.statistics.confidence) == ("welch", 0.95)
    assert read("data: {name: digits, limit: 50}").smoke


@pytest.mark.parametrize(
    ("overrides", "changed"),
    [
        ({"finals.seeds": [0, 1, 2]}, {"finals"}),
        ({"finals.primary": "last"}, {"finals"}),
        ({"selection.seeds": [101]}, {"selection"}),
        ({"selection.metric": "last_val_acc"}, {"selection"}),
        ({"statistics.smallest_effect_pp": 0.3}, {"statistics"}),
        ({"statistics.test": "paired"}, {"statistics"}),
        ({"methods.logit.alpha": [0.1]}, {"methods"}),
        ({"pairs": [{"teacher": "other", "student": "Small"}]}, {"pairs"}),
        ({"teachers.seeds": [0, 1], "teachers.teach": [0, 1]}, {"teachers"}),
        ({"teachers.seeds": [0, 1]}, {"teachers"}),
        ({"teachers.recipe.epochs": 7}, {"teachers"}),
        ({"recipe.epochs": 7}, {"recipe"}),
        ({"precision": "bf16"}, {"precision"}),
        ({"data.split_seed": 5}, {"data"}),
        ({"data.limit": 50}, {"data"}),
        ({"description": "another", "threads": 3, "budgets.hours": 5, "name": "t"}, set()),
        ({"data.root": "elsewhere", "save_seconds": 5}, set()),
        ({"title": "A title", "paper": "A paper"}, set()),
    ],
)
def test_what_is_preregistered(overrides: dict[str, object], changed: set[str]) -> None:
    before, after = preregistered(read()), preregistered(read(overrides=overrides))
    assert {key for key in before if before[key] != after[key]} == changed


def test_claims_and_ablations_are_preregistered() -> None:
    given: Any = preregistered(read(ablation(), claim(f"weight: 1, {SLOT}")))
    assert given["ablations"] != {}
    assert given["claims"][0]["terms"][0]["weight"] == 1
    assert json.loads(json.dumps(given)) == given


def test_a_study_without_a_reference_has_the_lock_of_before() -> None:
    """A study that was locked before there were references is not post hoc today."""
    names = ["smallest_effect_pp", "expected_std_pp", "test", "confidence", "power"]
    locked: Any = preregistered(read())
    assert list(locked["statistics"]) == names
    assert list(read().model_dump(mode="json")["statistics"]) == names
    named: Any = preregistered(read("statistics: {reference: logit}"))
    assert named["statistics"] == {**locked["statistics"], "reference": "logit"}
    assert {key for key in named if named[key] != locked[key]} == {"statistics"}


def test_an_unknown_reference_is_named_with_the_nearest_method() -> None:
    words = "s.yaml:8: statistics.reference: unknown method 'logti' (did you mean 'logit'?)"
    assert refusal("statistics: {reference: logti}").startswith(words)
    overrides: dict[str, object] = {"statistics.reference": "kd"}
    assert refusal(overrides=overrides).startswith("command line: statistics.reference: unknown")
    read("methods: {mine: {method: logit}, feature: {}}", "statistics: {reference: mine}")


def test_which_claim_is_the_main_one_is_preregistered_and_unsaid_where_none_is() -> None:
    """Who names it after the tests were seen has chosen it by its result."""
    block = claim(f"weight: 1, {SLOT}", name="helps")
    before: Any = preregistered(read(block))
    assert not {"main_claim", "title", "paper"} & {*before, *read(block).model_dump(mode="json")}
    after: Any = preregistered(read(block, "main_claim: helps", "title: T", "paper: P"))
    assert {**before, "main_claim": "helps"} == after
    words = "main_claim: no claim is called 'help' (did you mean 'helps'?)"
    assert refusal(block, "main_claim: help").endswith(words)
    assert refusal("main_claim: helps").endswith("main_claim: no claim is called 'helps'")


# Files of claims


CLAIMS = """claims:
  - name: helps
    text: It helps
    terms:
      - {weight: 1, teacher: big, student: little, method: logit}
"""


def test_a_claims_file_says_how_it_is_judged() -> None:
    text = CLAIMS + "statistics: {smallest_effect_pp: 1}\nprimary: last\n"
    read = read_claims(yamlio.parse(text, "claims.yaml"))
    assert [claim.says for claim in read.claims] == ["above"]
    named = "title: T\npaper: P\nmain_claim: helps\n"
    more = read_claims(yamlio.parse(text + named, "claims.yaml"))
    assert (more.title, more.paper, more.main_claim) == ("T", "P", "helps")
    with pytest.raises(BadInputError, match=r"^claims\.yaml:8: main_claim: no claim is called"):
        read_claims(yamlio.parse(text + "main_claim: other\n", "claims.yaml"))
    assert read.statistics is not None
    assert (read.statistics.smallest_effect_pp, read.primary) == (1, "last")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("claims:", "claim:"), "unknown key 'claim' (did you mean 'claims'?)"),
        (("weight: 1", "wieght: 1"), "claims.yaml:5: unknown key"),
        (("weight: 1", "weight: yes"), "claims.yaml:5"),
        (("name: helps", "name: ../x"), "a name is 1 to 60 letters"),
        (("teacher: big", "ablation: a, teacher: big"), "an ablation stands alone"),
        ((CLAIMS, "claims: []"), "claims.yaml:1"),
        ((CLAIMS, "- 1"), "expected `key: value` lines"),
    ],
)
def test_bad_claims_are_one_line(change: tuple[str, str], words: str) -> None:
    with pytest.raises(BadInputError) as caught:
        read_claims(yamlio.parse(CLAIMS.replace(*change), "claims.yaml"))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_fields_that_joined_later_leave_older_locks_as_they_were() -> None:
    claim = read_claims(yamlio.parse(CLAIMS, "claims.yaml")).claims[0]
    dumped = claim.model_dump(mode="json")
    assert "says" not in dumped
    assert "arm" not in dumped["terms"][0]
    assert Claim.model_validate(dumped) == claim
    other = claim.model_copy(update={"says": "nothing"})
    assert other.model_dump()["says"] == "nothing"


@pytest.mark.parametrize("key", ["a[b", "int", "[key]", "?u[-", "list[int]"])
def test_an_unknown_key_that_looks_like_a_type_is_named(key: str) -> None:
    for read in (lambda document: read_study(document, {}), read_claims):
        with pytest.raises(BadInputError, match=f"unknown key {re.escape(repr(key))}"):
            read(yamlio.parse(f"{json.dumps(key)}: 1", "study.yaml"))
