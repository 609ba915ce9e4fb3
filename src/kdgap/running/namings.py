"""What the tensors of one network are called elsewhere: names of the public toolboxes, as rules.

Networks of one architecture differ in what their authors called a layer. Every rule replaces one
such name by one that all share, and the names of both sides are compared after all rules: so a rule
is written once, whichever side uses which name, and a new family of ours needs none unless somebody
calls its layers otherwise. A shape has to fit besides.
"""

import re
from collections.abc import Mapping
from functools import lru_cache

_LAST = r"(?=\.(?:weight|bias|running_mean|running_var|num_batches_tracked)$)"
RULES: tuple[tuple[str, str], ...] = (
    # Transformers' ResNets: a convolution and its norm stand in a module of their own.
    (r"embedder\.embedder\.convolution", "conv1"),
    (r"embedder\.embedder\.normalization", "bn1"),
    (r"encoder\.stages\.(\d+)\.layers", r"layer<\1+1>"),
    (r"layer\.(\d+)\.convolution", r"conv<\1+1>"),
    (r"layer\.(\d+)\.normalization", r"bn<\1+1>"),
    (r"shortcut\.convolution", "shortcut.0"),
    (r"shortcut\.normalization", "shortcut.1"),
    # Transformers' vision transformers, as timm's; query, key and value are joined (`joined`).
    (r"embeddings\.cls_token", "cls_token"),
    (r"embeddings\.position_embeddings", "pos_embed"),
    (r"embeddings\.patch_embeddings\.projection", "patch_embed.proj"),
    (r"encoder\.layer\.(\d+)", r"blocks.\1"),
    (r"attention\.attention\.qkv", "attn.qkv"),
    (r"attention\.output\.dense", "attn.proj"),
    (r"intermediate\.dense", "mlp.fc1"),
    (r"output\.dense", "mlp.fc2"),
    (r"layernorm_before", "norm1"),
    (r"layernorm_after", "norm2"),
    (r"layernorm", "norm"),
    # torchvision's vision transformers, as timm's; their hidden layers had other names at first.
    (r"class_token", "cls_token"),
    (r"encoder\.pos_embedding", "pos_embed"),
    (r"conv_proj", "patch_embed.proj"),
    (r"encoder\.layers\.encoder_layer_(\d+)", r"blocks.\1"),
    (r"ln_1", "norm1"),
    (r"ln_2", "norm2"),
    (r"self_attention\.in_proj_(weight|bias)", r"attn.qkv.\1"),
    (r"self_attention\.out_proj", "attn.proj"),
    (r"mlp\.(?:0|linear_1)", "mlp.fc1"),
    (r"mlp\.(?:3|linear_2)", "mlp.fc2"),
    (r"encoder\.ln", "norm"),
    (r"heads\.head", "head"),
    # weiaicunzai's: a convolution and its norm in one sequence, stages counted from the stem.
    (r"conv(\d+)\.0", r"conv\1"),
    (r"conv(\d+)\.1", r"bn\1"),
    (r"conv(\d+)_x", r"layer<\1-1>"),
    (r"residual_function\.0", "conv1"),
    (r"residual_function\.1", "bn1"),
    (r"residual_function\.3", "conv2"),
    (r"residual_function\.4", "bn2"),
    (r"residual_function\.6", "conv3"),
    (r"residual_function\.7", "bn3"),
    # Wide ResNets: their blocks stand in a module within the stage, or stand in it themselves.
    (r"block(\d+)\.layers?", r"layer\1"),
    (r"stage_?(\d+)", r"layer\1"),
    # VGGs of RepDistiller: blocks from the stem on, without the pooling between them.
    (rf"block0\.(\d+){_LAST}", r"stem.\1"),
    (rf"block(\d+)\.(\d+){_LAST}", r"layer\1.<\2+1>"),
    (r"block(\d+)", r"layer\1"),
    # MobileNetV2: groups of blocks, of which some share a stage.
    (r"blocks\.0\.(\d+)\.conv", r"layer1.\1.conv"),
    (r"blocks\.1\.(\d+)\.conv", r"layer1.<\1+1>.conv"),
    (r"blocks\.2\.(\d+)\.conv", r"layer2.\1.conv"),
    (r"blocks\.3\.(\d+)\.conv", r"layer3.\1.conv"),
    (r"blocks\.4\.(\d+)\.conv", r"layer3.<\1+4>.conv"),
    (r"blocks\.5\.(\d+)\.conv", r"layer4.\1.conv"),
    (r"blocks\.6\.(\d+)\.conv", r"layer4.<\1+3>.conv"),
    # Shortcuts: a convolution with a norm, or alone.
    (r"(?:downsample|convShortcut|conv_shortcut|shortcut_conv)", "shortcut"),
    (r"shortcut(?=\.(?:weight|bias)$)", "shortcut.0"),
    # Stems.
    (r"conv0", "conv1"),
    (r"bn0", "bn1"),
    # Heads; behind dropout or flattening they are numbered.
    (r"(?:linear|classifier|head)(?:\.\d+)?(?=\.(?:weight|bias)$)", "fc"),
)
"""(what stands between dots, what it is called here); applied in this order to every name. `<3+1>`
is counted."""

BODIES = frozenset(["resnet", "vit", "backbone", "body", "trunk", "base_model", "timm_model"])
"""What some put before all layers but the head."""

_COMPILED = [(re.compile(rf"(?<![^.]){pattern}(?![^.])"), to) for pattern, to in RULES]
_COUNTED = re.compile(r"<(\d{1,9})([+-]\d)>")


@lru_cache(maxsize=2**16)
def shared_name(name: str) -> str:
    """Return what a tensor is called after all rules.

    Args:
        name: of a tensor, with dots; what leads to it may stand before.
    """
    name = ".".join(part for part in name.split(".") if part not in BODIES)
    for pattern, to in _COMPILED:
        name = pattern.sub(to, name)
    return _COUNTED.sub(_counted, name)


def _counted(match: re.Match[str]) -> str:
    return str(int(match[1]) + int(match[2]))


def by_shared_name(names: Mapping[str, object]) -> dict[str, str]:
    """Return shared name → name; nothing where two names become one."""
    shared = {shared_name(name): name for name in names}
    return shared if len(shared) == len(names) else {}
