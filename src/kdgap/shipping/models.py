"""A model as it is asked for predictions, whatever file it comes from."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from kdgap import __version__
from kdgap.data.preprocessing import resized
from kdgap.engine.device import pick_device
from kdgap.errors import BadInputError, TeacherError
from kdgap.shipping import archive, onnx_file
from kdgap.shipping.deployed import Answer, answer_of
from kdgap.shipping.facts import Facts, read_facts
from kdgap.shipping.formats import kind_of
from kdgap.shipping.sources import content_of, open_source


@dataclass(frozen=True)
class Model:
    """What answers, and what it says of itself."""

    facts: Facts
    answer: Answer

    def logits(self, pixels: Tensor) -> Tensor:
        """Return logits float32 `[B, classes]` of images uint8 `[B, C, H, W]`, fitted already.

        Raises:
            BadInputError: the file answers with something else.
        """
        card = self.facts.card
        seen = resized(pixels, card.image_size, self.facts.interpolation)
        # Rows of images, as every runtime lays them out.
        images = (seen.float() / 255).contiguous(memory_format=torch.contiguous_format)
        try:
            answer = self.answer(images)
        except (BadInputError, MemoryError):
            raise
        except Exception as error:  # noqa: BLE001  (a foreign graph finds every error)
            raise BadInputError(
                f"the model cannot be run on {len(images)} images of {card.channels} x"
                f" {card.image_size[0]} x {card.image_size[1]} ({type(error).__name__})"
            ) from None
        if answer.shape != (len(images), len(card.classes)):
            raise BadInputError(
                f"the model answers with {list(answer.shape)} for {len(images)} images, expected"
                f" logits of {len(card.classes):,} classes"
            )
        return answer


def open_model(path: Path, device: str = "auto") -> Model:
    """Open a run, a weights file with a card, or a file or folder that was exported.

    Args:
        path: what it is told by its name and what is in it.
        device: where to compute; a graph computes on the CPU.

    Raises:
        BadInputError: it is none of these, damaged, or not to be loaded.
    """
    kind = kind_of(path)
    if kind in ("onnx", "pt2"):
        if device not in ("auto", "cpu"):
            raise BadInputError(
                f"{path}: is computed on the CPU, not on {device!r}; name the run or its"
                " .safetensors for that"
            )
        most = onnx_file.MOST_BYTES if kind == "onnx" else archive.MOST_BYTES
        return open_graph(content_of(path, most), kind, str(path))
    source = open_source(path)
    card = source.weights.card
    facts = source.facts or Facts(kdgap=__version__, card=card, stored_size=source.stored_size())
    if facts.card.weight_hash != card.weight_hash or facts.card.classes != card.classes:
        raise TeacherError(f"{path}: its card is not the one it was exported with")
    return Model(facts, answer_of(source.weights.network, card, pick_device(device)))


def open_graph(content: bytes, kind: str, where: str) -> Model:
    """Open the bytes of an ONNX file or a `.pt2` archive.

    Raises:
        BadInputError: see `open_model`.
    """
    if kind == "onnx":
        text, answer = onnx_file.open_onnx(content, where)
        return Model(read_facts(text, where), answer)
    try:
        facts = read_facts(archive.facts_text(content), where)
    except archive.ArchiveError as error:
        raise BadInputError(f"{where}: {error}") from None
    card = facts.card
    example = torch.zeros(2, card.channels, *card.image_size)
    module = archive.load_program(content, example, where)

    def compute(images: Tensor) -> Tensor:
        with torch.inference_mode():
            logits: Tensor = module(images).float()
        return logits

    return Model(facts, compute)
