"""What the JSON of a `.pt2` archive may say: an allowlist, and what is left of a document by it.

See `archive.py` for why. Keys, names, operators and expressions that are not listed here are
refused; what only serves whoever debugs a graph is left out.
"""

import re
from collections.abc import Mapping
from math import prod
from typing import Any

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,500}")
_SYMBOL = re.compile(r"[su][0-9]{1,6}")
_PATH = re.compile(r"[A-Za-z0-9_.-]{0,500}")
_WORDS = re.compile(r"[A-Za-z0-9_. ,>-]{0,50}")
_OPERATOR = re.compile(r"torch\.ops\.aten\.([a-z0-9_]+)\.[A-Za-z0-9_]+")
_VERSION = re.compile(r"[0-9A-Za-z.+_-]{0,50}")
_EXPRESSION = re.compile(
    r"(?:(?:Symbol|Integer|Add|Mul|FloorDiv|CleanDiv|Mod|PythonMod|Max|Min|Eq|Ne|Ge|Gt|Le|Lt)\("
    r"|'[su][0-9]{1,6}'|(?:positive|integer|nonnegative)=True|-?[0-9]{1,12}|[(), ]){1,40}"
)
"""A shape, such as `Mul(Integer(4), Symbol('s77', positive=True, integer=True))`. Torch evaluates
it as Python: it holds no name but these, no dot, and nothing long."""

_OPERATOR_NAMES = """
_assert_tensor_metadata abs adaptive_avg_pool2d adaptive_max_pool2d add add_ addcmul addmm
alias alpha_dropout amax amin arange avg_pool2d baddbmm batch_norm bitwise_not bmm cat celu
chunk clamp clamp_ clamp_min clone col2im constant_pad_nd contiguous conv2d copy_ cos cumsum
detach detach_ div div_ dropout dropout_ einsum elu elu_ empty eq erf exp expand expand_as
expm1 feature_dropout fill_ flatten full full_like ge gelu group_norm gt hardsigmoid hardswish
hardswish_ hardtanh hardtanh_ im2col index instance_norm layer_norm le leaky_relu leaky_relu_
lift_fresh_copy linalg_vector_norm linear log log_softmax logical_and logical_not lt
masked_fill matmul max max_pool2d maximum mean minimum mish mish_ mm moveaxis movedim mul mul_
narrow ne neg neg_ new_full new_ones new_zeros ones ones_like pad permute pixel_shuffle
pixel_unshuffle pow prelu promote_types reciprocal reflection_pad2d relu relu6 relu6_ relu_
repeat replication_pad2d reshape reshape_as rms_norm roll rsqrt rsub scalar_tensor
scaled_dot_product_attention select selu sigmoid sigmoid_ silu silu_ sin slice softmax softplus
split split_with_sizes sqrt square squeeze stack std sub sub_ sum swapaxes sym_size tanh tanh_
tile to transpose type_as unbind unflatten unfold unsqueeze upsample_bicubic2d
upsample_bilinear2d upsample_nearest2d var var_mean view view_as where zero_ zeros zeros_like
"""
OPERATORS = frozenset(_OPERATOR_NAMES.split())
"""What classifiers of images are made of, as `torch.export` writes them. All of them compute on
tensors alone: none reads or makes a file."""
ARITHMETIC = frozenset({"add", "sub", "mul", "floordiv", "mod", "eq", "ne", "ge", "gt", "le", "lt"})
"""What sizes are computed with: functions of Python's `operator`."""

_STRINGS = {
    "expr_str": _EXPRESSION,
    "name": _NAME,
    "as_name": _NAME,
    "arg_name": _NAME,
    "parameter_name": _PATH,
    "buffer_name": _PATH,
    "tensor_constant_name": _PATH,
    "as_string": _WORDS,
    "torch_version": _VERSION,
}
"""Key → what its text may be."""
_KEYS = {
    *("graph_module", "graph", "signature", "opset_version", "range_constraints", "verifiers"),
    *("schema_version", "major", "minor", "torch_version", "min_val", "max_val", "input_specs"),
    *("inputs", "outputs", "nodes", "tensor_values", "sym_int_values", "sym_bool_values"),
    *("sym_float_values", "is_single_tensor_return", "custom_obj_values", "output_specs"),
    *("target", "arg", "kind", "name", "is_hop_single_tensor_return", "parameter", "buffer"),
    *("tensor_constant", "tensor_constant_name", "parameter_name", "buffer_name", "persistent"),
    *("user_input", "user_output", "expr_str", "hint", "dtype", "sizes", "strides", "device"),
    *("requires_grad", "storage_offset", "layout", "type", "index", "as_name"),
    *("as_tensor", "as_tensors", "as_int", "as_ints", "as_float", "as_floats", "as_bool"),
    *("as_bools", "as_none", "as_string", "as_expr", "as_sym_int", "as_sym_ints", "as_sym_float"),
    *("as_sym_bool", "as_scalar_type", "as_memory_format", "as_layout", "as_device"),
    *("as_optional_tensor", "as_optional_tensors", "as_sym_floats"),
}
_BY_NAME = {"tensor_values", "sym_int_values", "sym_bool_values", "sym_float_values"}
_BY_NAME |= {"range_constraints", "opset_version"}
"""Keys of mappings whose own keys are names."""
MOST_DIMENSIONS = 16
_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 2, 7: 4, 8: 8, 12: 1, 13: 2}
"""Bytes of an element, by the number of its type in these documents."""


class GraphError(ValueError):
    """What in a document is not expected, in words that follow the name of its file."""


def checked_program(document: Any) -> dict[str, Any]:
    """Return a graph's document without what is not needed.

    Raises:
        GraphError: something in it is not allowed.
    """
    if not isinstance(document, dict) or not isinstance(document.get("graph_module"), dict):
        raise GraphError("holds no graph")
    module = dict(document["graph_module"])
    calls = module.pop("module_call_graph", None)
    for unused in ("metadata", "treespec_namedtuple_fields"):
        module.pop(unused, None)
    outer = {key: value for key, value in document.items() if key != "guards_code"}
    clean: dict[str, Any] = _checked({**outer, "graph_module": module}, "")
    graph = clean["graph_module"]["graph"]
    if graph.get("custom_obj_values"):
        raise GraphError("holds objects that are no tensors")
    for node in graph["nodes"]:
        node["metadata"] = {}
    clean["graph_module"] |= {
        "module_call_graph": [_root(calls)],
        "metadata": {},
        "treespec_namedtuple_fields": {},
    }
    return clean | {"guards_code": []}


def _root(calls: Any) -> dict[str, Any]:
    """Return the one entry that says how a graph is called: with images, for logits."""
    from torch.utils import _pytree as pytree

    taken, given = pytree.tree_structure(((0,), {})), pytree.tree_structure(0)
    expected = {
        "inputs": [],
        "outputs": [],
        "in_spec": pytree.treespec_dumps(taken),
        "out_spec": pytree.treespec_dumps(given),
        "forward_arg_names": ["images"],
    }
    root = calls[0] if isinstance(calls, list) and calls else None
    if not isinstance(root, dict) or root.get("fqn") != "" or root.get("signature") != expected:
        raise GraphError("holds a graph that is not from images to logits")
    return {"fqn": "", "signature": expected}


def _checked(value: Any, key: str) -> Any:
    """Return a value of a document, checked by the key that it stands under."""
    if isinstance(value, dict):
        if key in _BY_NAME:
            form = _SYMBOL if key == "range_constraints" else _NAME
            return {_named(name, form): _checked(inner, "") for name, inner in value.items()}
        kept = {name: inner for name, inner in value.items() if name != "metadata"}
        for name in kept:
            if name not in _KEYS:
                raise GraphError(f"holds {str(name)[:40]!r}, which a classifier does not need")
        return {name: _checked(inner, name) for name, inner in kept.items()}
    if isinstance(value, list):
        return [_checked(inner, key) for inner in value]
    if isinstance(value, str):
        return _text(value, key)
    return value


def _named(name: Any, form: re.Pattern[str]) -> str:
    if not (isinstance(name, str) and form.fullmatch(name)):
        raise GraphError(f"holds a name that is none ({str(name)[:40]!r})")
    return name


def _text(text: str, key: str) -> str:
    if key == "target":
        _refuse_unknown(text)
    elif key == "type":
        if text != "cpu":
            raise GraphError(f"holds tensors on {text[:20]!r}; export it on the CPU")
    elif key == "verifiers":
        if text not in ("TRAINING", "ATEN"):
            raise GraphError(f"is of the dialect {text[:20]!r}; TRAINING and ATEN are read")
    elif key not in _STRINGS or not _STRINGS[key].fullmatch(text):
        raise GraphError(f"holds an odd text ({key} {text[:40]!r})")
    return text


def _refuse_unknown(target: str) -> None:
    aten = _OPERATOR.fullmatch(target)
    arithmetic = target.removeprefix("_operator.")
    if aten and aten[1] in OPERATORS:
        return
    if arithmetic != target and arithmetic in ARITHMETIC:
        return
    raise GraphError(
        f"asks for {target[:60]!r}, which is not among the operators that kdgap runs from a .pt2;"
        " use --to onnx"
    )


def checked_config(
    document: Any, folder: str, prefix: str, sizes: Mapping[str, int]
) -> dict[str, Any]:
    """Return the list of an archive's tensors.

    Args:
        document: as it was read.
        folder: where in the archive they are.
        prefix: how their names begin.
        sizes: bytes of what is in the archive, by name.

    Raises:
        GraphError: something in it is not allowed, or a tensor is not in its bytes.
    """
    config = document.get("config") if isinstance(document, dict) else None
    if not isinstance(config, dict) or len(document) != 1:
        raise GraphError("holds no list of tensors")
    clean = {}
    for name, entry in config.items():
        if not _PATH.fullmatch(str(name)) or not isinstance(entry, dict):
            raise GraphError(f"holds a tensor of an odd name ({str(name)[:40]!r})")
        place, meta = entry.get("path_name"), entry.get("tensor_meta")
        if entry.get("use_pickle") is not False or meta is None:
            raise GraphError(
                "holds a pickle, which kdgap never loads; export it anew, or use its .onnx"
            )
        if not (isinstance(place, str) and re.fullmatch(prefix + r"[0-9]{1,6}", place)):
            raise GraphError(f"holds a tensor of an odd name ({str(place)[:40]!r})")
        meta = _checked(meta, "tensor_meta")
        _refuse_outside(name, meta, sizes.get(folder + place))
        clean[name] = {
            "path_name": place,
            "is_param": entry.get("is_param") is True,
            "use_pickle": False,
            "tensor_meta": meta,
        }
    return {"config": clean}


def _refuse_outside(name: str, meta: Any, size: int | None) -> None:
    """Refuse a tensor that is not within the bytes it is made of."""
    try:
        shape = [int(side["as_int"]) for side in meta["sizes"]]
        strides = [int(step["as_int"]) for step in meta["strides"]]
        first, each = int(meta["storage_offset"]["as_int"]), _BYTES[meta["dtype"]]
    except (KeyError, TypeError, ValueError):
        raise GraphError(f"holds a tensor of an odd type or shape ({name[:40]!r})") from None
    negative = min([first, *shape, *strides]) < 0
    if negative or len(shape) != len(strides) or len(shape) > MOST_DIMENSIONS or size is None:
        raise GraphError(f"holds a tensor of an odd shape ({name[:40]!r})")
    if prod(shape) == 0:
        raise GraphError(f"holds a tensor without numbers ({name[:40]!r})")
    last = first + sum((side - 1) * step for side, step in zip(shape, strides, strict=True))
    if (last + 1) * each > size:
        raise GraphError(f"holds a tensor that is not within its bytes ({name[:40]!r})")
