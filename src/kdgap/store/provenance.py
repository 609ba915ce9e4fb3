"""Who computed a result: package, source revision, libraries, a few environment variables."""

import hashlib
import os
import platform
import subprocess
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import kdgap
from kdgap import child
from kdgap.files import read_bytes

_PACKAGES = (
    *("torch", "torchvision", "timm", "numpy", "safetensors", "pydantic", "pillow", "pyarrow"),
)
_VARIABLES = (
    "CUBLAS_WORKSPACE_CONFIG",
    "CUDA_VISIBLE_DEVICES",
    "MKL_NUM_THREADS",
    "OMP_NUM_THREADS",
    "ONEDNN_MAX_CPU_ISA",
)


@cache
def installed_version(package: str) -> str | None:
    """Return the version of an installed package; None if it is not there."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def source_digest() -> str:
    """Return the SHA-256 over the package's own source files, which identifies the code."""
    root = Path(kdgap.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(str(path.relative_to(root)).encode() + b"\0" + read_bytes(path) + b"\0")
    return digest.hexdigest()


def git_revision() -> str | None:
    """Return the commit of the checkout this package runs from, `+dirty` if it was changed."""
    root = Path(kdgap.__file__).resolve().parent
    top = root.parents[1]
    # Installed into somebody else's repository (a .venv in it), its commit is not our source's; and
    # the configuration of a repository can name programs, so that git is not even asked there.
    if root != top / "src" / "kdgap" or not (top / ".git").exists():
        return None
    try:
        if not Path(_git(root, "rev-parse", "--show-toplevel")).samefile(top):
            return None
        dirty = "+dirty" if _git(root, "status", "--porcelain", "--", str(root)) else ""
        return _git(root, "rev-parse", "HEAD") + dirty
    except (OSError, subprocess.SubprocessError):
        return None


def _git(root: Path, *words: str) -> str:
    # What watches the files is a program that the configuration names. Inside a hook of another
    # repository, GIT_DIR and its like speak of that one.
    command = ["git", "-c", "core.fsmonitor=false", "-C", str(root), *words]
    kept = {k: v for k, v in child.environment().items() if not k.startswith("GIT_")}
    done = subprocess.run(command, env=kept, capture_output=True, text=True, timeout=10, check=True)
    return done.stdout.strip()


def provenance() -> dict[str, Any]:
    """Return what identifies code and libraries; environment variables from an allow-list only."""
    return {
        "kdgap": kdgap.__version__,
        "revision": git_revision(),
        "source_sha256": source_digest(),
        "python": platform.python_version(),
        "platform": f"{platform.system()}-{platform.machine()}",
        "packages": {name: installed_version(name) for name in _PACKAGES},
        "variables": {name: os.environ[name] for name in _VARIABLES if name in os.environ},
        "executable": Path(sys.executable).name,
    }
