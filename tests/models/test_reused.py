"""A student that ends in its teacher's classifier: what it computes, starts from, and counts."""

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from kdgap.errors import BadInputError
from kdgap.methods import Step, build_method
from kdgap.methods.shared import last_map
from kdgap.models.build import build_model, count_cost, load_state, model_cost
from kdgap.models.fold import folded
from kdgap.models.output import Network
from kdgap.models.reused import ReusedClassifier
from kdgap.models.taps import Taps
from kdgap.spec.identity import canonical_json, identity
from kdgap.spec.model import ClassifierOf, InputSpec, ModelSpec
from tests.laws.numpy_features import simkd
from tests.laws.numpy_reference import Given, Side

STUDENT = ModelSpec(name="resnet8", width=0.25)
TEACHER = ModelSpec(name="resnet14", width=0.5)


def deployed(
    teacher: ModelSpec = TEACHER, student: ModelSpec = STUDENT, **fields: Any
) -> ModelSpec:
    taken = ClassifierOf(name=teacher.name, stem=teacher.stem, width=teacher.width, **fields)
    return student.model_copy(update={"classifier": taken})


def built(spec: ModelSpec, size: int = 16, seed: int = 3) -> Network:
    return build_model(spec, 5, 3, (size, size), seed)


def images(size: int = 16) -> torch.Tensor:
    return torch.randn(4, 3, size, size, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("factor", [1, 2, 3, 1000])
@pytest.mark.parametrize(
    ("student", "teacher"),
    [
        (STUDENT, TEACHER),
        # The student's last map is 4x4 and the teacher's 2x2, and the other way round.
        (STUDENT, ModelSpec(name="resnet18")),
        (ModelSpec(name="resnet18"), TEACHER),
    ],
)
def test_its_map_is_the_numpy_references(
    student: ModelSpec, teacher: ModelSpec, factor: int
) -> None:
    own, other = built(deployed(teacher, student, factor=factor)).double(), built(teacher).double()
    assert isinstance(own, ReusedClassifier)
    seen = images().double()
    with torch.no_grad():
        answer = own(seen, Taps(maps=own.stages[-1:], connected=True))
        target = other.eval()(seen, Taps(pooled=True))
    maps = (answer.features[own.stages[-1]], last_map(target))
    side = [Side(x.numpy(), {}, {}, None, None, {}, pooled=x.numpy()) for x in maps]
    parts = {name: value.numpy() for name, value in own.connector.state_dict().items()}
    given = Given({"factor": factor}, side[0], side[1], np.zeros(4, dtype=np.int64), parts)
    terms = build_method("simkd", {"factor": factor}).terms(
        answer, target, Step(torch.zeros(4), torch.zeros(4)), torch.nn.Module()
    )
    assert terms["map"].value.item() == pytest.approx(simkd(given)["map"], rel=1e-9)


def test_it_classifies_by_the_teachers_classifier_which_stays_as_it_is() -> None:
    network, teacher = built(deployed()), built(TEACHER, seed=9)
    assert isinstance(network, ReusedClassifier)
    weight, bias = teacher.get_parameter("fc.weight"), teacher.get_parameter("fc.bias")
    network.adopt((weight, bias))
    with torch.no_grad():
        answer = network.eval()(images(), Taps(embedding=True, connected=True, classifier=True))
    assert answer.embedding is not None
    assert answer.connected is not None
    assert answer.classifier is not None
    torch.testing.assert_close(answer.embedding, answer.connected.mean((2, 3)))
    torch.testing.assert_close(answer.logits, answer.embedding @ weight.T + bias)
    assert torch.equal(answer.classifier[0], weight)
    frozen = [name for name, p in network.named_parameters() if not p.requires_grad]
    assert frozen == ["classifier.weight", "classifier.bias"]


def test_its_stages_start_as_the_plain_students_do_and_its_classifier_is_gone() -> None:
    network, plain = built(deployed()), built(STUDENT)
    state = plain.state_dict()
    own = {k.removeprefix("body."): v for k, v in network.state_dict().items() if "body." in k}
    assert own.keys() == {name for name in state if not name.startswith("fc.")}
    assert all(torch.equal(value, state[name]) for name, value in own.items())


def test_it_is_built_again_from_its_state_and_folds() -> None:
    network, again = built(deployed(factor=4)), built(deployed(factor=4), seed=8)
    with torch.no_grad():
        network.train()(images())  # batch norm gets statistics
        load_state(again, network.state_dict(), "copy")
        expected = network.eval()(images()).logits
        assert torch.equal(again.eval()(images()).logits, expected)
        torch.testing.assert_close(folded(network)(images()).logits, expected, rtol=1e-4, atol=1e-5)
    assert not [m for m in folded(network).modules() if isinstance(m, torch.nn.BatchNorm2d)]


def test_what_it_counts_is_what_is_deployed() -> None:
    parameters, flops = model_cost(deployed(), 5, 3, (16, 16))
    own = built(deployed())
    assert parameters == sum(p.numel() for p in own.parameters())
    plain = model_cost(STUDENT, 5, 3, (16, 16))
    extra = parameters - plain[0]
    # Connector 16→16→16→32 with batch norms, the teacher's classifier, less the student's own.
    assert extra == 16 * 16 + 9 * 16 * 16 + 16 * 32 + 2 * (16 + 16 + 32) + 33 * 5 - 17 * 5
    assert flops > plain[1]
    usual = ModelSpec(name="resnet8"), 10, 3, (32, 32)
    assert count_cost(deployed(student=usual[0]), *usual[1:])[0] > model_cost(*usual)[0]


def test_other_networks_are_written_as_ever() -> None:
    assert STUDENT.model_dump() == {"name": "resnet8", "stem": "cifar", "width": 0.25}
    assert "classifier" not in canonical_json(identity(STUDENT))
    again = ModelSpec.model_validate_json(deployed().model_dump_json())
    assert again == deployed()


def test_a_teacher_that_cannot_be_is_refused() -> None:
    with pytest.raises(BadInputError, match="unknown model 'resnet9'"):
        built(deployed(ModelSpec(name="resnet9")))
    with pytest.raises(BadInputError, match="too small"):
        built(deployed(ModelSpec(name="resnet18", stem="imagenet")), size=16)


@pytest.mark.parametrize(("own", "theirs"), [(16, 32), (32, 16)])
def test_the_larger_of_two_maps_is_pooled_where_student_and_teacher_see_other_sizes(
    own: int, theirs: int
) -> None:
    teacher = TEACHER.model_copy(update={"input": InputSpec(size=theirs)})
    spec = build_method("simkd", {}).deployed(STUDENT, teacher)
    network, other = built(spec, own).eval(), built(TEACHER).eval()
    with torch.no_grad():
        answer = network(images(own), Taps(connected=True))
        target = other(images(theirs), Taps(pooled=True))
        step = Step(torch.zeros(4), torch.zeros(4))
        terms = build_method("simkd", {}).terms(answer, target, step, torch.nn.Module())
    assert answer.connected is not None
    maps = [F.adaptive_avg_pool2d(x, 4) for x in (answer.connected, last_map(target))]
    expected = (maps[0] - maps[1]).square().mean().item()
    assert terms["map"].value.item() == pytest.approx(expected, rel=1e-5)


def test_a_teacher_that_takes_one_size_is_asked_at_its_own() -> None:
    swin = ModelSpec(name="timm:swin_tiny_patch4_window7_224", input=InputSpec(size=224))
    spec = build_method("simkd", {}).deployed(STUDENT, swin)
    assert spec.classifier is not None
    assert spec.classifier.size == 224
    network = built(spec, 32)
    assert isinstance(network, ReusedClassifier)
    assert network.size == (7, 7)
