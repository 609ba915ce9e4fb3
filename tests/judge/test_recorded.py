"""What runs recorded is read by names that exist, and goes on with all that its files hold."""

from typing import Any

from kdgap.judge.fidelity import MEASURES
from kdgap.judge.recorded import UNTESTED, History, Scores, Validation

EPOCHS: list[dict[str, Any]] = [
    {"epoch": 1, "val_acc": 0.5, "loss_ce": 1.0, "loss_kd": 2.0, "term_grad_norm": {"ce": 1.0}},
    {"epoch": 2, "val_acc": None, "loss_ce": 0.5, "term_grad_norm": None, "lr": float("inf")},
    {"val_acc": 0.7, "term_grad_norm": {"ce": 0.5, "kl": 0.2}, "later": "text"},
]


def test_scores_are_read_by_name_and_passed_on_whole() -> None:
    document = {"accuracy": 1, "ece": 0.1, "per_class_acc": {"cat": None}, "weight_hash": "ab"}
    scores = Scores(document)
    assert (scores.accuracy, scores.ece, scores.by_class) == (1, 0.1, {"cat": None})
    assert tuple(scores.measures) == MEASURES
    assert scores.measures == dict.fromkeys(MEASURES) | {"ece": 0.1}
    assert scores.document is document


def test_what_was_not_recorded_is_none() -> None:
    assert UNTESTED.accuracy is None
    assert not UNTESTED.by_class
    assert not Scores({"per_class_acc": None}).by_class
    assert set(UNTESTED.measures.values()) == {None}
    assert {Validation().best, Validation().best_epoch, Validation().last} == {None}
    assert not History()
    assert History().at_end("val_acc") is None
    assert History().parts_at_start("term_grad_norm") == ()


def test_validation_may_lack_what_earlier_imports_lack() -> None:
    known = Validation({"best": 0.9, "last": 0.8})
    assert (known.best, known.best_epoch, known.last) == (0.9, None, 0.8)


def test_a_history_yields_finite_numbers_by_epoch() -> None:
    history = History(EPOCHS)
    assert len(history) == 3
    assert list(history.numbers("val_acc")) == [(1, 0.5), (3, 0.7)]
    assert history.values("val_acc") == [0.5, 0.7]
    assert not list(history.numbers("lr"))
    assert not list(history.numbers("later"))
    assert list(history.numbers("term_grad_norm", "ce")) == [(1, 1.0), (3, 0.5)]
    assert not list(history.numbers("val_acc", "ce"))
    assert history.at_end("val_acc") == 0.7


def test_a_history_tells_parts_and_pairs() -> None:
    history = History(EPOCHS)
    assert list(history.both("loss_ce", "loss_kd")) == [(1.0, 2.0)]
    assert list(history.parts("term_grad_norm")) == [("ce", 1.0), ("ce", 0.5), ("kl", 0.2)]
    assert history.parts_at_start("term_grad_norm") == ("ce",)
    assert history.recorded("term_grad_norm")
    assert not History([{"proj_grad_norm_max": 0.0}]).recorded("proj_grad_norm_max")
