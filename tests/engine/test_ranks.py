"""What ranks do together is what one process does alone: batches, gradients, batch norm, stops."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdgap.data import BatchStream
from kdgap.engine.cohort import Member, train_cohort
from kdgap.engine.ranks import ALONE, Group, RankError, Ranks
from kdgap.engine.student import State
from kdgap.errors import StoppedError
from kdgap.models.split_norm import Synchronised
from kdgap.spec.run import RunSpec
from tests.engine.conftest import Lab
from tests.engine.ranks import by_ranks

ODD = {"batch_size": 63, "epochs": 1}
"""200 images: batches of 63, 63, 63 and 11."""


class Rank(Ranks):
    """A rank without the others: for what needs none of them."""

    def __init__(self, rank: int, size: int) -> None:
        self.rank, self.size = rank, size


def stream_of(lab: Lab, run: RunSpec, ranks: Ranks) -> BatchStream:
    augmentation = run.data.augmentation
    return BatchStream(lab.parts.train, run.recipe.batch_size, run.seed, augmentation, ranks.part)


def several(run: RunSpec, batch_norm: str = "synchronised") -> RunSpec:
    return RunSpec.model_validate({**run.model_dump(), "devices": 2, "batch_norm": batch_norm})


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_parts_of_a_batch_are_the_batch_image_by_image(lab: Lab, size: int) -> None:
    run = lab.spec(recipe=ODD)
    whole = lab.stream(run)
    parts = [stream_of(lab, run, Rank(rank, size)) for rank in range(size)]
    for epoch in (0, 1):
        for step in range(whole.steps):
            indices = [part.indices(epoch, step) for part in parts]
            assert torch.equal(torch.cat(indices), whole.indices(epoch, step))
            pixels, labels = zip(*(part.pixels(epoch, step) for part in parts), strict=True)
            expected = whole.pixels(epoch, step)
            assert torch.equal(torch.cat(pixels), expected[0])
            assert torch.equal(torch.cat(labels), expected[1])
            lengths = [len(part) for part in labels]
            assert sum(lengths) == whole.size(step)
            assert max(lengths) - min(lengths) <= 1


def test_flips_are_those_of_the_whole_batch(lab: Lab) -> None:
    whole = BatchStream(lab.parts.train, 63, 3, "crop_flip")
    parts = [BatchStream(lab.parts.train, 63, 3, "crop_flip", Rank(r, 2).part) for r in (0, 1)]
    for step in range(whole.steps):
        pixels = torch.cat([part.pixels(2, step)[0] for part in parts])
        assert torch.equal(pixels, whole.pixels(2, step)[0])


@pytest.mark.parametrize("shape", [(7, 3), (7, 3, 4, 5)])
@pytest.mark.parametrize("size", [2, 3])
def test_batch_norm_over_ranks_is_that_of_the_whole_batch(
    shape: tuple[int, ...], size: int
) -> None:
    g = torch.Generator().manual_seed(0)
    whole = (3 + 2 * torch.randn(shape, generator=g)).requires_grad_()
    towards = torch.randn(shape, generator=g)

    def norm() -> nn.Module:
        module = (nn.BatchNorm1d if len(shape) == 2 else nn.BatchNorm2d)(3)
        with torch.no_grad():
            module.weight.copy_(torch.tensor([0.5, -1.0, 2.0]))
            module.bias.copy_(torch.tensor([1.0, 0.0, -3.0]))
        return module

    expected = norm()
    answer = expected(whole)
    (answer * towards).sum().backward()
    assert whole.grad is not None

    def work(ranks: Group) -> tuple[Tensor, Tensor, list[Tensor], State]:
        own, part = norm(), ranks.part(len(whole))
        x = whole.detach()[part].clone().requires_grad_()
        with Synchronised(ranks):
            y = own(x)
        (y * towards[part]).sum().backward()
        gradients = [p.grad for p in own.parameters() if p.grad is not None]
        ranks.add_up(gradients)
        assert x.grad is not None
        return y.detach(), x.grad, gradients, dict(own.state_dict())

    answers = by_ranks(size, work)
    close: dict[str, Any] = {"rtol": 1e-5, "atol": 1e-5}
    torch.testing.assert_close(torch.cat([a[0] for a in answers]), answer.detach(), **close)
    torch.testing.assert_close(torch.cat([a[1] for a in answers]), whole.grad, **close)
    for _, _, gradients, state in answers:
        for own, parameter in zip(gradients, expected.parameters(), strict=True):
            assert parameter.grad is not None
            torch.testing.assert_close(own, parameter.grad, **close)
        for name, value in expected.state_dict().items():
            torch.testing.assert_close(state[name], value, **close)
        assert all(torch.equal(state[n], answers[0][3][n]) for n in state)


def test_batch_norm_that_does_not_train_is_left_alone() -> None:
    norm = nn.BatchNorm2d(3).eval()
    x = torch.randn(2, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    with Synchronised(ALONE):
        assert torch.equal(norm(x), F.batch_norm(x, norm.running_mean, norm.running_var))


@pytest.mark.parametrize(
    ("method", "recipe"),
    [
        *((method, {}) for method in ("none", "logit", "label_smoothing", "simkd", "vid")),
        ("feature", {"optimiser": "dot", "nesterov": False, "clip_scope": "apart"}),
    ],
)
def test_a_step_of_ranks_is_that_of_one_process(
    lab: Lab, method: str, recipe: dict[str, Any]
) -> None:
    """One step of 200 images on three ranks: weights, losses, norms, those of terms as well."""
    alone = lab.spec(method, recipe={"batch_size": 200, "epochs": 1, **recipe})
    expected = lab.train(alone)
    answers = trained_by(lab, several(alone), size=3)
    history, last = answers[0]
    assert history[0].keys() == expected.history[0].keys()
    for key, value in expected.history[0].items():
        if isinstance(value, dict):
            assert history[0][key] == pytest.approx(value, rel=1e-4, abs=1e-6), key
        elif not key.startswith("val_"):  # whose images may be near a boundary
            assert history[0][key] == pytest.approx(value, rel=1e-4), key
    for name, weight in expected.last.items():
        torch.testing.assert_close(last[name], weight, rtol=1e-4, atol=1e-6)
        assert all(torch.equal(state[name], last[name]) for _, state in answers), name


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_an_epoch_of_ranks_is_that_of_one_process_but_for_rounding(
    lab: Lab, precision: str
) -> None:
    """The last of its batches, 11 images, does not divide either."""
    alone = lab.spec("logit", recipe=ODD, precision=precision)
    expected, (answer, _) = lab.train(alone), trained_by(lab, several(alone))
    wide = 0.05 if precision == "bf16" else 0.01
    loss = expected.history[0]["loss_total"]
    assert answer[0][0]["loss_total"] == pytest.approx(loss, rel=wide)
    for name, weight in expected.last.items():
        torch.testing.assert_close(answer[1][name], weight, rtol=wide, atol=wide)


def trained_by(
    lab: Lab,
    run: RunSpec,
    pause: Callable[[int], Callable[[], None]] | None = None,
    size: int = 2,
) -> list[tuple[list[dict[str, Any]], State]]:
    """Return the history and the last weights of each of some ranks."""
    built = [lab.student(run) for _ in range(size)]

    def work(ranks: Group) -> tuple[list[dict[str, Any]], State]:
        student, teacher = built[ranks.rank]
        member = Member(student)
        own = (lambda: None) if pause is None else pause(ranks.rank)
        train_cohort(
            [member], teacher, stream_of(lab, run, ranks), lab.parts.val, ranks=ranks, pause=own
        )
        if member.failure is not None:
            raise member.failure
        return member.history, student.network_state()

    return by_ranks(size, work)


def test_a_gradient_is_that_of_the_mean_over_the_batch_and_not_of_the_mean_of_means(
    lab: Lab,
) -> None:
    """Three images: two for one rank and one for the other, in one step without momentum."""
    recipe = {"batch_size": 3, "epochs": 1, "momentum": 0.0, "nesterov": False, "clip_scope": "off"}
    run = lab.spec(recipe=recipe)
    alone, _ = lab.student(run)
    images, labels = lab.images(lab.stream(run), 0, 0)
    loss = F.cross_entropy(alone.network.train()(images).logits, labels)
    expected = torch.autograd.grad(loss, alone.network_parameters)
    built = [lab.student(several(run))[0] for _ in range(2)]

    def work(ranks: Group) -> list[Tensor]:
        student, part = built[ranks.rank], ranks.part(3)
        share = len(labels[part]) / 3
        with ranks.normalising("synchronised"):
            logits = student.network.train()(images[part]).logits
        (share * F.cross_entropy(logits, labels[part])).backward()
        gradients = [p.grad for p in student.network_parameters if p.grad is not None]
        ranks.add_up(gradients)
        return gradients

    for gradients in by_ranks(2, work):
        for gradient, whole in zip(gradients, expected, strict=True):
            torch.testing.assert_close(gradient, whole, rtol=1e-3, atol=1e-5)


def test_statistics_of_each_rank_alone_are_those_of_its_part(lab: Lab) -> None:
    """The weights move together all the same; what is kept is what rank 0 saw."""
    run = several(lab.spec(recipe={"batch_size": 200, "epochs": 1}), "per_rank")
    (_, first), (_, second) = trained_by(lab, run)
    names = [name for name in first if name.endswith("running_mean")]
    assert names
    assert not any(torch.equal(first[name], second[name]) for name in names)
    weights = [name for name in first if "running" not in name]
    assert all(torch.equal(first[name], second[name]) for name in weights)
    network = lab.student(run)[0].network.train()
    images, _ = lab.images(lab.stream(run), 0, 0)
    network(images[:100])
    assert torch.equal(first["bn1.running_mean"], network.state_dict()["bn1.running_mean"])


@pytest.mark.parametrize("asked", [0, 1])
def test_all_ranks_stop_at_the_same_step(lab: Lab, asked: int) -> None:
    """Whichever of them is told to."""
    chances = [0, 0]

    def pause(rank: int) -> Callable[[], None]:
        def look() -> None:
            chances[rank] += 1
            if rank == asked and chances[rank] == 3:
                raise StoppedError("told", 143)

        return look

    with pytest.raises(StoppedError) as stopped:
        trained_by(lab, several(lab.spec()), pause)
    assert stopped.value.exit_code == 143
    assert chances == [3, 3]


def test_ranks_with_other_weights_are_found_out(lab: Lab) -> None:
    def work(ranks: Group) -> None:
        weights = [torch.zeros(3), torch.zeros(2, 2)]
        ranks.check_equal(weights)
        weights[1][0, 1] += 1e-20 * ranks.rank
        ranks.check_equal(weights)

    with pytest.raises(RankError, match="rank 1 holds other weights than rank 0"):
        by_ranks(2, work)


def test_what_rank_0_sends_arrives_byte_by_byte() -> None:
    content = bytes(range(256)) * 5
    sent = by_ranks(3, lambda ranks: ranks.broadcast(b"" if ranks.rank else content))
    assert sent == [content] * 3
    assert by_ranks(2, lambda ranks: ranks.broadcast(b"")) == [b"", b""]


def test_a_failing_message_is_a_failed_run_that_says_who_was_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def work(ranks: Group) -> None:
        ranks._explain = lambda: "rank 1 was killed by signal 9"
        if ranks.rank == 0:
            monkeypatch.setattr(ranks, "_of", lambda _: Broken())
            ranks.add_up([torch.zeros(1)])

    class Broken:
        def allreduce(self, _: object) -> None:
            raise RuntimeError("Connection reset by peer")

    with pytest.raises(RankError, match="rank 1 was killed by signal 9; the last saved state is"):
        by_ranks(2, work)
