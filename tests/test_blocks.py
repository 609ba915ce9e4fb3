"""Every block of code in the pages is run by a test, or says why not."""

import re
from pathlib import Path
from typing import Any

import pytest

from kdgap import yamlio
from kdgap.methods import hyperparameter_names
from kdgap.spec.claims_file import read_claims
from kdgap.spec.flat import read_flat
from kdgap.spec.study_file import read_study
from tests.blocks import LANGUAGES, PAGES, Block, blocks
from tests.conftest import ROOT

BLOCKS = [block for page in PAGES for block in blocks(page)]
STUDY: dict[str, Any] = {
    "name": "little",
    "data": {"name": "digits"},
    "models": {"big": {"name": "resnet8"}, "little": {"name": "resnet8", "width": 0.5}},
    "recipe": {"epochs": 1},
    "pairs": [{"teacher": "big", "student": "little"}],
    "methods": {"logit": {"alpha": 0.5, "temperature": 4}},
    "finals": {"seeds": [0]},
}
"""What a part of a study's file is put into."""
_COMMAND = re.compile(r"^(?:\$ )?(?:kdgap|make|pip|python|bash|sbatch|jupyter) ", re.MULTILINE)
_FILE = re.compile(r"(?:tests|benchmarks|tools)/[\w./]+\w")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_block_is_overlooked(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert text.count("```") == 2 * (len(blocks(page)) + text.count("```{toctree}"))
    # Four spaces would be a block, too, of a language that nobody knows.
    outside = re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    assert re.findall(r"\n\n    \S.*", outside) == []


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_a_block_says_what_it_is(block: Block) -> None:
    assert block.language in LANGUAGES
    if block.language == "text":
        assert _COMMAND.search(block.text) is None, "a command that no test would run"
        assert block.reason is None, "text is never run"


def test_what_is_not_run_says_why() -> None:
    marked = {block: block.reason for block in BLOCKS if block.reason is not None}
    assert marked
    for block, reason in marked.items():
        assert len(reason.split()) >= 3, block
        for file in _FILE.findall(reason):
            assert (ROOT / file).exists(), f"{block}: {file}"
    texts = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    marks = re.findall(r"^ *<!-- *not run", texts, re.MULTILINE)
    assert len(marks) == len(marked), "a mark stands right before a block"


@pytest.mark.parametrize("block", [b for b in BLOCKS if b.language == "yaml"], ids=str)
def test_yaml_is_what_kdgap_takes(block: Block) -> None:
    document = yamlio.parse(block.text, str(block))
    keys = set(document.value)
    if "model" in keys:
        read_flat(document, {}, hyperparameter_names())
    elif "claims" in keys and "models" not in keys:
        read_claims(document)
    elif "models" in keys and "pairs" in keys:
        read_study(document, {})
    else:
        # Without the overrides, so that a misspelt key is found in its place.
        study = {**STUDY, **document.value}
        if "models" in keys:
            study["models"] = STUDY["models"] | document.value["models"]
        if "methods" in keys:
            study["methods"] = STUDY["methods"] | document.value["methods"]
        read_study(yamlio.Document(study, document.source, document.lines), {})
