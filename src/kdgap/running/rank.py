"""One of the further ranks of a run, a process that `ranks.py` starts: it computes, and no more.

It validates, saves and writes nothing. It ends when rank 0 does, which closes its standard input.
"""

import json
import os
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kdgap import error_line
from kdgap.errors import KdgapError, RunFailedError, StoppedError, one_line

if TYPE_CHECKING:
    from kdgap.running.stop import Stopper


def main() -> None:
    """Be a rank, as the line on standard input says."""
    asked = json.loads(sys.stdin.readline())
    # Before torch, whose import takes long: from here on this process ends with rank 0.
    threading.Thread(target=_end_with_rank_0, daemon=True).start()
    from kdgap.running.stop import Stopper

    with Stopper() as stopper:
        try:
            _work(asked, stopper)
        except StoppedError as error:
            sys.exit(error.exit_code)
        except KdgapError as error:
            error_line.hand_over(one_line(error))
            sys.exit(error.exit_code)
        except (OSError, MemoryError, RuntimeError) as error:
            error_line.hand_over(one_line(f"{type(error).__name__}: {error}"))
            sys.exit(RunFailedError.exit_code)
        signal.pause()  # trained: rank 0 may still have to receive what was sent last


def _end_with_rank_0() -> None:
    sys.stdin.read()
    os._exit(128 + signal.SIGTERM)


def _work(asked: dict[str, Any], pause: "Stopper") -> None:
    import torch
    from safetensors.torch import load
    from torch._C._distributed_c10d import TCPStore

    from kdgap.data import BatchStream, Dataset, Request, load_dataset, split_dataset
    from kdgap.engine.cohort import Member, train_cohort
    from kdgap.engine.device import make_deterministic
    from kdgap.engine.ranks import FOREVER, Group
    from kdgap.engine.student import Student
    from kdgap.engine.teacher import Teacher
    from kdgap.models.build import build_model, load_state
    from kdgap.running.teacher import TeacherWeights
    from kdgap.spec.run import RunSpec
    from kdgap.store.card import Card
    from kdgap.store.remote import local_place
    from kdgap.store.state import Snapshot

    run, rank = RunSpec.model_validate(asked["run"]), int(asked["rank"])
    device = torch.device(asked["device"])
    if device.type == "cuda":
        device = torch.device("cuda", rank)
        torch.cuda.set_device(device)
    make_deterministic(run.seed, run.place.threads)
    data = run.data
    dataset = load_dataset(data.name, Request.of(data, local_place(run.place.data_root)))
    if dataset.fingerprint != asked["fingerprint"]:
        raise RunFailedError(f"{data.name}: the data changed while the run was being started")
    parts = split_dataset(dataset, data.val_size, data.split_seed, data.limit, data.choose_on)
    port = int(asked["port"])
    store = TCPStore("127.0.0.1", port, run.ranks, False, FOREVER, wait_for_workers=False)
    store.set(f"ready/{rank}", "1")
    ranks = Group(store, rank, run.ranks, device)

    def taught(weights: bytes, known: Dataset) -> Teacher | None:
        if not weights:
            return None
        card = Card.model_validate(asked["teacher"])
        size = len(card.classes), card.channels, card.image_size
        network = build_model(card.model, *size, 0)
        load_state(network, load(weights), "the teacher of rank 0")
        own = TeacherWeights(Path(), network, card, subset=True)
        return Teacher(network, run, device, own.preprocessing, own.order(known.classes))

    teacher = taught(ranks.broadcast(b""), dataset)
    student = Student(run, dataset, parts.train.labels, teacher, device)
    member = Member(student)
    facts = json.loads(ranks.broadcast(b""))
    member.resume(Snapshot(load(ranks.broadcast(b"")), facts))
    stream = BatchStream(
        parts.train.to(device),
        run.recipe.batch_size,
        run.seed,
        data.augmentation,
        ranks.part,
    )
    train_cohort([member], teacher, stream, parts.val, pause=pause, ranks=ranks)
    if member.failure is not None:
        raise member.failure


if __name__ == "__main__":
    main()
