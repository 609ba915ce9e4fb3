"""A trained network becomes a file: written, asked, compared, and only then put in its place."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor

from kdgap import __version__, disk
from kdgap.data.preprocessing import resized
from kdgap.errors import BadInputError, one_line
from kdgap.files import (
    make_folder,
    note_change,
    remove_tree,
    sync_directory,
    temporary_beside,
    write_new,
)
from kdgap.leftovers import remove_temporaries
from kdgap.shipping import archive, onnx_file
from kdgap.shipping.deployed import answer_of, traced
from kdgap.shipping.evidence import (
    COMPARED,
    Sample,
    exported_logits,
    measured_of,
    reference_logits,
    sample_of,
)
from kdgap.shipping.exported import Exported
from kdgap.shipping.facts import KEY, Comparison, Facts
from kdgap.shipping.formats import FORMATS, HUB_WEIGHTS, card_beside, check_format, check_target
from kdgap.shipping.hub import hub_files
from kdgap.shipping.latency import latency
from kdgap.shipping.model_card import model_card
from kdgap.shipping.models import Model, open_graph
from kdgap.shipping.sources import Source, open_source
from kdgap.staging import replace_together
from kdgap.store.weights import copy_state

TOLERANCE = 1e-4
"""How far a logit may be from PyTorch's, over the largest absolute logit (at least 1)."""


@dataclass(frozen=True)
class Written:
    """The files of an export, what its card is made of, and one-line remarks for the user."""

    files: tuple[Path, ...]
    export: Exported
    remarks: tuple[str, ...]


def export_model(
    path: Path,
    form: str,
    out: Path | None,
    *,
    images: Sequence[Path] = (),
    data_root: Path | None = None,
    licence: str | None = None,
) -> Written:
    """Export a network and return what was written.

    Args:
        path: a run, a weights file with a card, or a hub folder.
        form: `pt2`, `onnx`, `safetensors` or `hub`.
        out: the file, or for `hub` the folder; None = the source's name here.
        images: images to compare on; none = the data's validation images.
        data_root: where the data is; None = where the run says.
        licence: of the weights, as it is to be said.

    Raises:
        BadInputError: the source is no network, cannot be exported so, or does not answer as
            PyTorch does; the target is there already. Nothing was written.
    """
    check_format(form)
    if form == "onnx":
        onnx_file.require_exporter()
    source = open_source(path)
    target = out or Path(source.name + FORMATS[form])
    check_target(target, form)
    card = source.weights.card
    facts = Facts(
        kdgap=__version__,
        card=card,
        stored_size=source.stored_size(),
        licence=_licence(licence) or (source.facts.licence if source.facts else None),
    )
    sample, missing = sample_of(source, facts, images, data_root)
    size = (sample.pixels.shape[2], sample.pixels.shape[3])
    if sample.labels is not None and size not in (card.image_size, facts.stored_size):
        facts = facts.model_copy(update={"stored_size": size})  # the data itself knows best
    reference = reference_logits(source, sample.pixels)
    make, model = _written(source, form, facts, str(path))
    compared = _compared(source, sample, reference, model, form)
    facts = facts.model_copy(update={"compared": compared})
    content = make(facts)
    one_image = _first(sample, facts)
    export = Exported(
        source=source,
        form=form,
        facts=facts,
        measured=measured_of(source, sample, reference),
        latency=latency(lambda: model.answer(one_image)),
        parameters=sum(p.numel() for p in source.weights.network.parameters()),
        bytes=len(content),
    )
    files = _put(target, export, content)
    return Written(tuple(files), export, tuple(_remarks(export, missing)))


def _remarks(export: Exported, missing: str | None) -> Iterator[str]:
    if missing is not None:
        yield f"compared on random pixels, for {missing}; --images or --data-root give real ones"
    compared, speed = export.facts.compared, export.latency
    assert compared is not None
    yield (
        f"answers as PyTorch does on {compared.images:,} {compared.source}: logits within"
        f" {compared.largest_difference:.1e} of the largest; one image takes"
        f" {speed.median:.3g} ms here"
    )


def _licence(given: str | None) -> str | None:
    if given is not None and (not given.strip() or one_line(given, 200) != given):
        raise BadInputError("--licence: expected a short text on one line, such as apache-2.0")
    return given


def _first(sample: Sample, facts: Facts) -> Tensor:
    card = facts.card
    seen = resized(sample.pixels[:1], card.image_size, facts.interpolation)
    return (seen.float() / 255).contiguous(memory_format=torch.contiguous_format)


def _written(
    source: Source, form: str, facts: Facts, name: str
) -> tuple[Callable[[Facts], bytes], Model]:
    """Return what makes the file once all its facts are known, and the file as it answers."""
    network, card = source.weights.network, source.weights.card
    if form in ("safetensors", "hub"):
        state = copy_state(network)

        def weights(facts: Facts) -> bytes:
            metadata = {**card.metadata(), KEY: facts.model_dump_json(), "format": "pt"}
            return save(state, metadata)

        return weights, Model(facts, answer_of(network, card, torch.device("cpu")))
    program = traced(network, card, name)
    if form == "onnx":
        graph = onnx_file.onnx_model(program, name)

        def onnx(facts: Facts) -> bytes:
            return onnx_file.onnx_bytes(graph, facts)

        return onnx, open_graph(onnx(facts), form, name)

    def pt2(facts: Facts) -> bytes:
        return archive.program_bytes(program, facts)

    return pt2, open_graph(pt2(facts), form, name)


def _compared(
    source: Source, sample: Sample, reference: Tensor, model: Model, form: str
) -> Comparison:
    """Compare what a file answers with what PyTorch does.

    Raises:
        BadInputError: a logit or an answer differs.
    """
    ours = reference[:COMPARED]
    theirs = exported_logits(model, sample.pixels[:COMPARED])
    scale = max(1.0, float(ours.abs().max()))
    difference = float((ours - theirs).abs().max()) / scale
    if not difference <= TOLERANCE:
        raise BadInputError(
            f"{source.path}: as {form} it answers otherwise than PyTorch, by {difference:.1e} of"
            f" the largest logit on {sample.source} ({TOLERANCE:g} allowed); nothing was written;"
            " try another format"
        )
    if other := other_answers(ours, theirs, 2 * TOLERANCE * scale):
        raise BadInputError(
            f"{source.path}: as {form} it answers with another class than PyTorch on {other} of"
            f" {len(ours)} {sample.source}; nothing was written; try another format"
        )
    return Comparison(images=len(ours), source=sample.source, largest_difference=difference)


def other_answers(ours: Tensor, theirs: Tensor, tie: float) -> int:
    """Return how many top-1 answers differ; of classes whose logits are that close, either is one.

    Args:
        ours: logits `[N, C]`.
        theirs: logits `[N, C]`.
        tie: how close, in logits.
    """
    chosen = ours.gather(1, theirs.argmax(1, keepdim=True)).squeeze(1)
    return int((ours.amax(1) - chosen > tie).sum())


def _put(target: Path, export: Exported, content: bytes) -> list[Path]:
    if export.form != "hub":
        files = {target: content, card_beside(target): model_card(export, target.name).encode()}
        replace_together(files)
        return list(files)
    named = {HUB_WEIGHTS: content, **hub_files(export, target.name)}
    _put_folder(target, named)
    return [target / name for name in named]


def _put_folder(target: Path, files: Mapping[str, bytes]) -> None:
    """Write a folder that a kill leaves whole or not at all."""
    make_folder(target.parent)
    remove_temporaries(target.parent)
    staging = temporary_beside(target)
    try:
        with disk.naming(target):
            make_folder(staging)
            for name, content in files.items():
                write_new(staging / name, content)
            sync_directory(staging)
            disk.call(disk.current.rename, staging, target)
        note_change()
    except BaseException:
        remove_tree(staging)
        raise
    sync_directory(target.parent)
