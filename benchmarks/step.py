#!/usr/bin/env python3
"""How a ResNet-8 training step divides: preparing the batch, and everything else.

Both are timed within the same steps of one run, on random images of CIFAR-10's shape, so the share
does not depend on the machine's mood. Prints a line a precision.
"""

import argparse
import statistics
import time

import torch

from kdgap.benchmark.case import random_images
from kdgap.data import BatchStream
from kdgap.engine.device import environment, make_deterministic, pick_device
from kdgap.engine.memory import kept_memory
from kdgap.engine.student import NO_TEACHER, Student
from kdgap.methods import Step
from kdgap.spec.model import ModelSpec
from kdgap.spec.run import DataSpec, MethodSpec, Precision, RunSpec


def time_steps(precision: Precision, steps: int, device: torch.device) -> None:
    """Time single steps and print their division."""
    dataset = random_images(45_000, 32)
    run = RunSpec(
        data=DataSpec(name="cifar10", augmentation="crop_flip", val_size=5000),
        model=ModelSpec(name="resnet8"),
        method=MethodSpec(name="none"),
        precision=precision,
    )
    student = Student(run, dataset, dataset.train.labels, None, device)
    stream = BatchStream(dataset.train, 128, 0, "crop_flip")
    prepare, rest = [], []
    with kept_memory():
        for step in range(steps + 3):
            begin = time.perf_counter()
            pixels, labels = stream.pixels(0, step)
            images = dataset.seen_by(None)(pixels)
            middle = time.perf_counter()
            student.step(images, Step(labels, stream.indices(0, step)), NO_TEACHER, probe=False)
            if step >= 3:
                prepare.append(middle - begin)
                rest.append(time.perf_counter() - middle)
    share = statistics.median(p / (p + r) for p, r in zip(prepare, rest, strict=True))
    print(
        f"{precision}: batch {statistics.median(prepare) * 1e3:.2f} ms,"
        f" step {statistics.median(rest) * 1e3:.1f} ms, batch share {share:.2%} (n = {steps})"
    )


def main() -> None:
    """Parse arguments and time both precisions."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=60)
    steps = parser.parse_args().steps
    make_deterministic(0, None)
    device = pick_device("cpu")  # on an accelerator, wall-clock times need synchronisation
    print(environment(device))
    for precision in ("fp32", "bf16"):
        time_steps(precision, steps, device)


if __name__ == "__main__":
    main()
