"""ONNX: one file with the weights in it, written by torch and answered by onnxruntime."""

from importlib import import_module
from typing import Any

import torch
from torch import Tensor
from torch.export import ExportedProgram

from kdgap.errors import BadInputError, one_line
from kdgap.shipping.deployed import IMAGES, LOGITS, Answer, quiet
from kdgap.shipping.facts import KEY, Facts

MOST_BYTES = 2**31 - 1
"""Of one ONNX file: it is one message of protobuf."""
_BATCH = "batch"


def _module(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError:
        raise BadInputError(
            f"{name} is not installed; `pip install 'kdgap[onnx]'` brings it"
        ) from None


def require_exporter() -> None:
    """Refuse where what writes or checks an ONNX file is missing, before anything is computed.

    Raises:
        BadInputError: naming it.
    """
    for name in ("onnx", "onnxscript", "onnxruntime"):
        _module(name)


def onnx_model(program: ExportedProgram, name: str) -> Any:
    """Return a graph as an ONNX model; what it says of itself is added by `onnx_bytes`.

    Args:
        program: the graph.
        name: what it is called, for messages.

    Raises:
        BadInputError: it holds what ONNX has no operator for, or is too large for one file.
    """
    try:
        with quiet():
            written = torch.onnx.export(
                program, dynamo=True, verbose=False, input_names=[IMAGES], output_names=[LOGITS]
            )
            assert written is not None
            model = written.model_proto
    except Exception as error:  # noqa: BLE001  (an exporter finds every error)
        raise BadInputError(
            f"{name}: cannot be written as ONNX ({one_line(error, 160) or type(error).__name__});"
            " try --to pt2, or --to safetensors for machines that have kdgap"
        ) from None
    # What the exporter notes for debugging holds paths and code of this machine.
    for part in (model.graph, *model.functions):
        for node in part.node:
            node.ClearField("metadata_props")
            node.ClearField("doc_string")
        part.ClearField("metadata_props")
    for value in (*model.graph.input, *model.graph.output):
        value.ClearField("metadata_props")
        value.type.tensor_type.shape.dim[0].dim_param = _BATCH
    for tensor in model.graph.initializer:
        tensor.ClearField("metadata_props")
    model.graph.ClearField("value_info")
    model.ClearField("metadata_props")
    if model.ByteSize() > MOST_BYTES:
        raise BadInputError(
            f"{name}: an ONNX file holds 2 GiB at most, this network has more; use --to pt2"
        )
    return model


def onnx_bytes(model: Any, facts: Facts) -> bytes:
    """Return the content of an ONNX file that says what it is."""
    model.ClearField("metadata_props")
    entry = model.metadata_props.add()
    entry.key, entry.value = KEY, facts.model_dump_json()
    content: bytes = model.SerializeToString()
    return content


def open_onnx(content: bytes, where: str) -> tuple[str | None, Answer]:
    """Return what an ONNX file says of itself, and what answers with it on the CPU.

    It is given to onnxruntime as bytes, without a place, so that it can name no other file.

    Args:
        content: the file.
        where: its name, for messages.

    Raises:
        BadInputError: onnxruntime is missing, cannot read it, or it takes other inputs.
    """
    runtime = _module("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 4
    runtime.set_default_logger_severity(4)
    try:
        session = runtime.InferenceSession(
            content, sess_options=options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # noqa: BLE001  (its errors have no common class)
        raise BadInputError(
            f"{where}: onnxruntime cannot read it ({one_line(error, 160)})"
        ) from None
    taken, given = session.get_inputs(), session.get_outputs()
    if len(taken) != 1 or len(given) != 1 or taken[0].type != "tensor(float)":
        raise BadInputError(f"{where}: does not take one batch of images for one of logits")

    def answer(images: Tensor) -> Tensor:
        logits = session.run(None, {taken[0].name: images.numpy()})[0]
        return torch.from_numpy(logits).float()

    return session.get_modelmeta().custom_metadata_map.get(KEY), answer
