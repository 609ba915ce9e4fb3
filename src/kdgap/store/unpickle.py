"""Reads one pickled checkpoint, as tensors only, and writes its tensors as safetensors.

Run as a child process (`python -m kdgap.store.unpickle SOURCE TARGET`), so that even a flaw in the
unpickler stays outside the process that holds the user's work. Prints one line on stderr and exits
with 1 if the file holds anything but tensors and plain values.
"""

import pickle
import re
import resource
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

MEMORY_BYTES = 32 * 2**30
"""Address space of the child: libraries map several GiB, a hostile file must not take it all."""


def tensors_of(loaded: object) -> dict[str, torch.Tensor]:
    """Return the state of a checkpoint: the reference's `model_state_dict`, or a bare state.

    The reference keeps its network under `model.`, data-parallel wrappers theirs under `module.`.
    """
    if isinstance(loaded, dict):
        for key in ("model_state_dict", "state_dict", "model"):
            if isinstance(loaded.get(key), dict):
                loaded = loaded[key]
                break
    if not isinstance(loaded, dict) or not loaded:
        raise ValueError("holds no state dictionary")
    state: dict[str, torch.Tensor] = {}
    for name, value in loaded.items():
        if not isinstance(name, str) or not isinstance(value, torch.Tensor):
            raise ValueError(f"entry {name!r} of its state dictionary is no tensor")  # noqa: TRY004  (the file is at fault, not a caller)
        state[name] = value.detach().clone().contiguous()
    for prefix in ("module.", "model."):
        if all(name.startswith(prefix) for name in state):
            state = {name.removeprefix(prefix): value for name, value in state.items()}
    return state


def main(source: str, target: str) -> int:
    """Convert one file; return the exit code."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    try:
        # A stream, for torch reads a path by its suffix, and the suffix may be wrong.
        with Path(source).open("rb") as stream:
            loaded = torch.load(stream, map_location="cpu", weights_only=True)
        save_file(tensors_of(loaded), target)
    except (pickle.UnpicklingError, RuntimeError, ValueError, OSError, EOFError, KeyError) as error:
        print(describe(error), file=sys.stderr)
        return 1
    return 0


def describe(error: Exception) -> str:
    """Return what is wrong in our words; torch's own advise to load the file without checks."""
    named = re.search(r"GLOBAL ([\w.]+)", str(error))
    if named:
        return f"its pickle asks for {named[1]}, and only tensors and plain values are read"
    if isinstance(error, ValueError):
        return str(error)
    return "is no checkpoint of tensors"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2]))
