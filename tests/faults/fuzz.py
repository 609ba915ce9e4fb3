"""Coverage-guided fuzzing of every reader of foreign input: `make fuzz`, or one target by name.

    python -m tests.faults.fuzz zip 60      # a target of `TARGETS`, for 60 seconds

Each target gives random bytes to one reader, which may answer or refuse with the error it promises;
anything else is a finding. Needs atheris (`pip install 'kdgap[fuzz]'`, Linux alone). The tests
beside the readers try the same with hypothesis, everywhere.
"""

import io
import pickle
import shutil
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import atheris
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image
from safetensors.torch import save

from tests.store.foreign_files import write

with atheris.instrument_imports(include=["kdgap"]):
    from kdgap import yamlio
    from kdgap.child import bound_memory
    from kdgap.columns import MAX_MEMORY, describe, read
    from kdgap.data.pixels import ImageError, fitted
    from kdgap.data.tars import samples
    from kdgap.errors import KdgapError
    from kdgap.files import parse_json
    from kdgap.spec.claims_file import read_claims
    from kdgap.spec.flat import read_flat
    from kdgap.spec.study_file import read_study
    from kdgap.store.checkpoint import tensors_in
    from kdgap.store.imports.gate import OddFileError, read_object
    from kdgap.store.imports.imported import import_runs
    from kdgap.store.pickled import NotReadableError
    from kdgap.store.record import RunDirectory
    from kdgap.store.seal import sealed_bytes
    from kdgap.store.tensorfile import NotSafetensorsError, read_header
    from kdgap.store.unpickle import read_checkpoint

ROOT = Path(__file__).resolve().parents[2]
SCRATCH = Path(tempfile.mkdtemp(prefix="kdgap-fuzz-"))


def _file(name: str, content: bytes) -> Path:
    path = SCRATCH / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def _spec(content: bytes) -> None:
    with suppress(KdgapError):
        read_flat(yamlio.parse(content.decode("utf-8", "replace"), "f"), {}, {})
    for read in (lambda d: read_study(d, {}), read_claims):
        with suppress(KdgapError):
            read(yamlio.parse(content.decode("utf-8", "replace"), "f"))


def _json(content: bytes) -> None:
    with suppress(OddFileError):
        read_object(content)
    with suppress(ValueError, RecursionError):
        parse_json(content.decode("utf-8", "replace"))


def _record(content: bytes) -> None:
    head, _, rest = content.partition(b"\0")
    for name, part in (("run.json", head), ("manifest.json", rest), ("attempts.jsonl", rest),
                       ("timing.json", head), ("failure.json", rest)):  # fmt: skip
        _file(f"run/{name}", part)
    directory = RunDirectory(SCRATCH / "run")
    with suppress(KdgapError):
        directory.read()
    directory.attempts()
    directory.failure()


def _safetensors(content: bytes) -> None:
    with suppress(NotSafetensorsError):
        read_header(io.BytesIO(content))


def _checkpoint(content: bytes) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("archive/data.pkl", content)
        archive.writestr("archive/data/0", content[:64])
    for stream in (io.BytesIO(content), packed):
        with suppress(NotReadableError):
            list(tensors_in(read_checkpoint(stream)))


def _archive(name: str) -> Callable[[bytes], None]:
    def read(content: bytes) -> None:
        with suppress(KdgapError):
            import_runs(_file(name, content), "x")

    return read


def _image(content: bytes) -> None:
    with suppress(ImageError):
        fitted(io.BytesIO(content), 8)


def _parquet(content: bytes) -> None:
    shard = _file("train-00000-of-00001.parquet", content)
    with suppress(KdgapError):
        describe(shard, "label")
        for _ in read(shard, "img", "label"):
            pass


def _samples(content: bytes) -> None:
    with suppress(KdgapError):
        for _ in samples(_file("train-000000.tar", content)):
            pass


TARGETS: dict[str, Callable[[bytes], None]] = {
    "spec": _spec,
    "json": _json,
    "record": _record,
    "safetensors": _safetensors,
    "checkpoint": _checkpoint,
    "zip": _archive("runs.zip"),
    "tar": _archive("runs.tar"),
    "image": _image,
    "parquet": _parquet,
    "webdataset": _samples,
}


def _picture(kind: str, side: int) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (side, side), "red").save(stream, kind)
    return stream.getvalue()


def _checkpoints() -> Iterator[bytes]:
    for zipped in (True, False):
        stream = io.BytesIO()
        state = {"state_dict": {"weight": torch.zeros(2)}, "epoch": 3}
        torch.save(state, stream, _use_new_zipfile_serialization=zipped)
        yield stream.getvalue()
    yield pickle.dumps({"state_dict": {"weight": [1.0, 2.0]}, "names": ("a", b"b", None)})


def _seeds(name: str) -> Iterator[bytes]:  # noqa: C901  (a case a reader)
    """Yield whole inputs of a target, from which the fuzzer goes on."""
    if name == "image":
        for kind in ("PNG", "JPEG", "GIF", "TIFF", "BMP", "WEBP", "PPM"):
            yield _picture(kind, 8)
    elif name == "spec":
        for path in sorted((ROOT / "configs").rglob("*.yaml")):
            yield path.read_bytes()
    elif name in ("json", "zip", "tar"):
        source = SCRATCH / "theirs"
        for seed in range(2):
            path = write(source, f"runs/final/resnet18_baseline/seed{seed}", seed=seed)
        if name == "json":
            yield path.read_bytes()
        else:
            archive = shutil.make_archive(str(SCRATCH / "seed"), name, source)
            yield Path(archive).read_bytes()
    elif name == "safetensors":
        yield save({"weight": torch.zeros(2, 3), "count": torch.tensor(1)}, {"card": "{}"})
    elif name == "checkpoint":
        yield from _checkpoints()
    elif name == "parquet":
        rows = {"img": [{"bytes": _picture("PNG", 32), "path": None}], "label": [1]}
        pq.write_table(pa.table(rows), SCRATCH / "seed.parquet")
        yield (SCRATCH / "seed.parquet").read_bytes()
    elif name == "webdataset":
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode="w") as tar:
            for suffix, body in (("png", _picture("PNG", 8)), ("cls", b"1"), ("json", b"{}")):
                member = tarfile.TarInfo(f"a/0.{suffix}")
                member.size = len(body)
                tar.addfile(member, io.BytesIO(body))
        yield stream.getvalue()
    elif name == "record":
        yield sealed_bytes({"id": "0", "files": {}}) + b"\0" + sealed_bytes({"files": {}})


def main(name: str, seconds: str = "60") -> None:
    """Fuzz one target."""
    seeds = SCRATCH / "seeds"
    for number, content in enumerate(_seeds(name)):
        _file(f"seeds/{number}", content)
    if name == "parquet":  # as in the child that reads them, which has less at its beginning
        bound_memory(psutil.Process().memory_info().vms + MAX_MEMORY)
    atheris.Setup([sys.argv[0], str(seeds), f"-max_total_time={seconds}", "-rss_limit_mb=6000",
                   f"-artifact_prefix={SCRATCH}/"], TARGETS[name])  # fmt: skip
    atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:])
