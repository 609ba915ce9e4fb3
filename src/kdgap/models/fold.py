"""Networks for answering only: batch norm folded into the convolution before it."""

from copy import deepcopy
from itertools import pairwise

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from kdgap.models.output import Network


def folded(network: Network) -> Network:
    """Return a copy in evaluation mode whose batch norms are folded where that is known to hold.

    Known pairs are `convK` followed by `bnK`, neighbours in an `nn.Sequential`, and what a module
    lists as its `folds` in place of the first; a batch norm that stands elsewhere stays. All of a
    network that is not ours stays: what its code does between modules is not known, and some batch
    norms there hold an activation. The copy answers what the network answers in evaluation
    mode, up to rounding.
    """
    copy = deepcopy(network).eval()
    others = {
        id(inner)
        for module in copy.modules()
        if isinstance(module, Network) and not module.folds_batch_norm
        for inner in module.modules()
    }
    for parent in [module for module in copy.modules() if id(module) not in others]:
        children = list(parent.named_children())
        for (before, conv), (after, norm) in pairwise(children):
            if (
                isinstance(conv, nn.Conv2d)
                and type(norm) is nn.BatchNorm2d  # subclasses may do more
                and (isinstance(parent, nn.Sequential) or _named_alike(before, after, parent))
            ):
                setattr(parent, before, fuse_conv_bn_eval(conv, norm))
                setattr(parent, after, nn.Identity())
    return copy


def _named_alike(conv: str, norm: str, parent: nn.Module) -> bool:
    listed = getattr(parent, "folds", None)
    if listed is not None:
        return (conv, norm) in listed
    return conv.startswith("conv") and norm == "bn" + conv.removeprefix("conv")
