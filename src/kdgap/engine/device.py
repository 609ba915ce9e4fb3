"""Which device trains, how deterministic it is, and what its environment is called."""

import hashlib
import os
import random
from collections.abc import Mapping

import numpy as np
import psutil
import torch

from kdgap.addressing import address
from kdgap.engine.memory import hand_back
from kdgap.errors import BadInputError
from kdgap.spec.identity import canonical_json
from kdgap.spec.run import NUMERICS_VERSION
from kdgap.store.provenance import installed_version


def pick_device(name: str) -> torch.device:
    """Return the named device; `auto` picks CUDA, then MPS, then the CPU.

    Raises:
        BadInputError: there is no such device here.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError):
        raise BadInputError(
            f"device {name!r} is not usable here; known kinds: auto, cpu, cuda, cuda:N, mps"
        ) from None
    if device.type not in ("cpu", "cuda", "mps"):
        raise BadInputError(f"device {name!r}: kdgap trains on cpu, cuda and mps")
    return device


def worker_devices(name: str, workers: int) -> list[str]:
    """Return a device for each worker: one CUDA device each where there are several.

    Not yet run on a machine with GPUs.
    """
    device = pick_device(name)
    if device.type == "cuda" and ":" not in str(device):
        return [f"cuda:{index % torch.cuda.device_count()}" for index in range(workers)]
    return [str(device)] * workers


def free_memory(device: torch.device) -> int:
    """Return how many bytes are free where a device keeps its tensors."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    hand_back()
    return int(psutil.virtual_memory().available)


def make_deterministic(seed: int, threads: int | None) -> None:
    """Ask every library for its deterministic path, and seed every global generator.

    kdgap draws nothing from the global generators (see `addressing.py`); they are seeded for the
    sake of code that is not ours.
    """
    # cuBLAS needs this before its first call, or deterministic algorithms raise on CUDA.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    if threads is not None:
        torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)
    # Filling uninitialised memory costs time and hides nothing here: no kernel of ours reads it.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
    seed = address(seed, "global")
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002  (the global generator is the point)
    torch.manual_seed(seed)


def native_bf16(device: torch.device) -> bool:
    """Return whether bfloat16 arithmetic is in hardware; without it a CPU needs emulation."""
    if device.type == "cpu":
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())  # noqa: SLF001
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return True


def fast_bf16(device: torch.device) -> bool:
    """Return whether bfloat16 pays: whether the processor has instructions for it.

    oneDNN also computes in it with AVX-512 alone, which is slower than float32; see ADR 3.
    """
    if device.type == "cpu" and torch.backends.cpu.get_cpu_capability().startswith("AVX"):
        own = torch.cpu._is_avx512_bf16_supported, torch.cpu._is_amx_tile_supported  # noqa: SLF001
        return any(supported() for supported in own)
    return native_bf16(device)


def environment(device: torch.device) -> Mapping[str, object]:
    """Return all that bit equality is promised for: device, threads, libraries."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    return {
        "device": device.type,
        "device_name": name,
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "native_bf16": native_bf16(device),
        "numerics": NUMERICS_VERSION,
        "torch": installed_version("torch"),
        "torchvision": installed_version("torchvision"),
    }


def environment_digest(device: torch.device) -> str:
    """Return a short name for an environment; equal names promise equal bits."""
    return hashlib.sha256(canonical_json(environment(device)).encode()).hexdigest()[:16]
