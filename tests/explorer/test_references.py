"""The explorer's documents of a study that names a reference."""

from dataclasses import replace
from pathlib import Path

from kdgap.explorer.documents import study_document
from kdgap.explorer.snapshot import Snapshot
from kdgap.spec.claims import Statistics
from tests.judge.builders import analyse
from tests.report.test_reference_page import study


def test_every_gain_over_the_reference_has_its_arm_and_its_sentence() -> None:
    evidence = study()
    document = study_document(Snapshot(Path("made"), evidence, analyse(evidence)))
    entries, sentences = document["analysis"]["reference_gains"], document["reference_gains"]
    assert len(entries) == len(sentences) == 4
    gains = {(gain["slot"], gain["configuration"]) for gain in document["analysis"]["gains"]}
    assert {(entry["slot"], entry["configuration"]) for entry in entries} <= gains
    for entry, own in zip(entries, sentences, strict=True):
        assert own["sentence"] == entry["sentence"].replace(f"; {entry['verdict']}: ", "; ")


def test_without_a_reference_the_documents_have_none() -> None:
    evidence = replace(study(), statistics=Statistics())
    document = study_document(Snapshot(Path("made"), evidence, analyse(evidence)))
    assert document["reference_gains"] == []
    assert "reference_gains" not in document["analysis"]
    assert "reference" not in document["analysis"]["settings"]
