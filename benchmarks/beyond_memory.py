#!/usr/bin/env python3
"""Peak memory of data that memory may not hold: 1, 10 and 50 times what may stay resident.

    python benchmarks/beyond_memory.py                     # a folder of images
    python benchmarks/beyond_memory.py --kind parquet      # or webdataset
    python benchmarks/beyond_memory.py --times 1 10

Small images are drawn and stored, and the ordinary commands run on them: `kdgap data` decodes them
into the cache, `kdgap train` trains a student, validates and tests. Each is a process of its own,
for which the limit alone is lowered: below `LIMIT` bytes of pixels images are resident, above not.
The peaks are those that Linux tells: anonymous memory is what the process itself holds, the rest is
pages of files, which the system takes back when it needs them.
"""

import argparse
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from PIL import Image

SIDE, CLASSES = 32, 10
LIMIT = 2048 * 3 * SIDE * SIDE
STATUS = Path("/proc/self/status")
SHARD = 4096
KINDS = {"folder": "imagefolder", "parquet": "manifest", "webdataset": "webdataset"}


def main() -> None:
    """Print a table, and one line of JSON for each of its rows."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kind", choices=KINDS, default="folder")
    parser.add_argument("--times", type=int, nargs="+", default=[1, 10, 50])
    parser.add_argument("--child", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        measured(given.child)
        return
    head = ("times", "images", "pixels", "decode: anonymous", "all", "train: anonymous", "all")
    print(" | ".join(head), flush=True)
    for times in given.times:
        row = one_row(given.kind, times)
        print(" | ".join(str(value) for value in row.values()), flush=True)
        print(json.dumps({"kind": given.kind, **row}), flush=True)


def one_row(kind: str, times: int) -> dict[str, object]:
    """Return the peaks in MiB, of as many images as hold `times` the limit, tests included."""
    count = times * LIMIT // (3 * SIDE * SIDE)
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        draw(kind, root / "data", count)
        config = root / "run.yaml"
        config.write_text(
            f"data: {KINDS[kind]}\ndata_root: {root / 'data'}\nmodel: resnet8\nwidth: 0.25\n"
            f"epochs: 1\nbatch_size: 128\nlr: 0.05\nval_size: {count // 10}\nseed: 0\n"
            f"output_dir: {root / 'run'}\ntracker: none\n"
        )
        data = ["data", KINDS[kind], "--data-root", str(root / "data")]
        decode = in_child(root, data)
        train = in_child(root, ["train", str(config)])
    pixels = f"{count * 3 * SIDE * SIDE / 2**20:.0f} MiB"
    peaks = {
        f"{phase} {what} MiB": peak[what]
        for phase, peak in (("decode", decode), ("train", train))
        for what in ("anonymous", "all")
    }
    return {"times": times, "images": count, "pixels": pixels, **peaks}


def draw(kind: str, root: Path, count: int) -> None:
    """Store images of random blocks: no two are alike, and each is small."""
    rng = np.random.default_rng(0)
    tests = count // 10
    rows: list[tuple[str, bytes, int]] = []
    for number in range(count):
        part = "test" if number < tests else "train"
        blocks = Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8))
        stream = io.BytesIO()
        blocks.resize((SIDE, SIDE), Image.Resampling.NEAREST).save(stream, "PNG")
        rows.append((part, stream.getvalue(), number % CLASSES))
        if len(rows) == SHARD or number in (tests - 1, count - 1):
            store(kind, root, number // SHARD, rows)
            rows.clear()


def store(kind: str, root: Path, shard: int, rows: list[tuple[str, bytes, int]]) -> None:
    """Store some images of one part."""
    part = rows[0][0]
    if kind == "folder":
        for place, (_, content, label) in enumerate(rows):
            folder = root / part / str(label)
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{shard}-{place}.png").write_bytes(content)
        return
    root.mkdir(exist_ok=True)
    if kind == "parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        table = {"image": [{"bytes": row[1]} for row in rows], "label": [row[2] for row in rows]}
        pq.write_table(pa.table(table), root / f"{part}_{shard:04}.parquet")
        return
    with tarfile.open(root / f"{part}-{shard:06}.tar", "w") as tar:
        for place, (_, content, label) in enumerate(rows):
            for suffix, body in ((".png", content), (".cls", str(label).encode())):
                member = tarfile.TarInfo(f"{place:06}{suffix}")
                member.size = len(body)
                tar.addfile(member, io.BytesIO(body))


def in_child(root: Path, words: list[str]) -> dict[str, int]:
    """Run a command of kdgap in a process, and return its peaks in MiB."""
    environment = {**os.environ, "KDGAP_CACHE": str(root / "cache"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, __file__, "--child", *words],
        env=environment, cwd=root, check=False, capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"kdgap {' '.join(words)} failed: {done.stderr}")
    peaks: dict[str, int] = json.loads(done.stdout.splitlines()[-1])
    return peaks


def measured(words: list[str]) -> None:
    """Be the child: lower the limit, run the command, and say what was held at most."""
    from kdgap.cli.app import app
    from kdgap.data import decoded

    # What `fits_in_memory` asks for: twice the pixels, and room beside them.
    free = 2 * LIMIT + 512 * 2**20
    lowered = SimpleNamespace(virtual_memory=lambda: SimpleNamespace(available=free))
    setattr(decoded, "psutil", lowered)  # noqa: B010  (in this module alone)
    over, most = threading.Event(), 0

    def watch() -> None:
        nonlocal most
        while not over.wait(0.01):
            most = max(most, kib("RssAnon"))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        app(words, standalone_mode=False)
    finally:
        over.set()
        watcher.join()
    print(json.dumps({"anonymous": most // 1024, "all": kib("VmHWM") // 1024}))


def kib(name: str) -> int:
    """Return what Linux says of this process, in KiB."""
    lines = STATUS.read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


if __name__ == "__main__":
    main()
