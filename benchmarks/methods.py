#!/usr/bin/env python3
"""What a step of each method costs beside one of KD: time, and memory of the process.

ResNet-20 to ResNet-8, random images of CIFAR-10's shape, batches of 64, the teacher's answer
included. In every round each method takes a step right after one of KD, so that both see the same
machine; the ratio is the median over rounds. Memory is the peak of a process of its own that takes
a few steps, less KD's. `--write` puts the figures where `docs/methods.md` takes them from.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch

from kdgap.benchmark.case import random_images
from kdgap.data import BatchStream, Dataset
from kdgap.engine.device import environment, make_deterministic
from kdgap.engine.memory import kept_memory
from kdgap.engine.student import NO_TEACHER, Student
from kdgap.engine.teacher import Teacher
from kdgap.methods import METHODS, Step, build_method
from kdgap.methods.costs import STUDENT, TEACHER
from kdgap.models.build import build_model
from kdgap.spec.model import ModelSpec
from kdgap.spec.run import DataSpec, MethodSpec, RunSpec, TeacherSpec

IMAGES, BATCH, WARM = 45_000, 64, 3
KD = "logit"
CPU = torch.device("cpu")
COSTS = Path(__file__).parent.parent / "src" / "kdgap" / "methods" / "costs.json"


class Arm:
    """One method in training."""

    def __init__(self, method: str, dataset: Dataset) -> None:
        known = TeacherSpec(model=ModelSpec(name=TEACHER), weight_hash="0" * 64, weights="none")
        self.run = RunSpec(
            data=DataSpec(name="cifar10", augmentation="crop_flip", val_size=5000),
            model=ModelSpec(name=STUDENT),
            method=MethodSpec(name=method, parameters=build_method(method, {}).parameters()),
            teacher=known if METHODS[method].needs_teacher else None,
        )
        self.teacher = None
        if self.run.teacher is not None:
            network = build_model(self.run.teacher.model, 10, 3, (32, 32), 1)
            self.teacher = Teacher(network, self.run, CPU, dataset.seen_by(None))
        self.student = Student(self.run, dataset, dataset.train.labels, self.teacher, CPU)
        self.stream = BatchStream(dataset.train, BATCH, 0, "crop_flip")

    def step(self, number: int) -> float:
        """Take a step, the teacher's answer included; return its seconds."""
        begin = time.perf_counter()
        pixels, labels = self.stream.pixels(0, number)
        images = self.student.preprocessing(pixels)
        target, second, student = NO_TEACHER, None, self.student
        if self.teacher is not None:
            target = self.teacher(images, student.teacher_taps)
            if student.method.views > 1:
                view = self.student.preprocessing(self.stream.stronger(pixels, 0, number))
                second = view, self.teacher(view, student.teacher_taps)
        at = Step(labels, self.stream.indices(0, number), 0, 240, number)
        student.step(images, at, target, probe=False, second=second)
        return time.perf_counter() - begin


def time_all(rounds: int) -> dict[str, tuple[float, float, float]]:
    """Return method → the median ratio to KD's step beside it, and the quartiles."""
    dataset = random_images(IMAGES, 32)
    arms = {name: Arm(name, dataset) for name in METHODS}
    usual, ratios = arms.pop(KD), {name: list[float]() for name in arms}
    with kept_memory():
        for number in range(rounds + WARM):
            for name, arm in arms.items():
                beside = usual.step(number)
                seconds = arm.step(number)
                if number >= WARM:
                    ratios[name].append(seconds / beside)
            print(f"round {number + 1} of {rounds + WARM}", file=sys.stderr)
    quartiles = {name: statistics.quantiles(values) for name, values in ratios.items()}
    return {name: (q[1], q[0], q[2]) for name, q in quartiles.items()}


def peak(method: str) -> float:
    """Return the peak memory in MB of this process after a few steps of a method."""
    arm = Arm(method, random_images(IMAGES, 32))
    with kept_memory():
        for number in range(WARM):
            arm.step(number)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Parse arguments, measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--write", action="store_true", help="put the figures into the sources")
    parser.add_argument("--peak", help=argparse.SUPPRESS)
    given = parser.parse_args()
    make_deterministic(0, None)
    if given.peak:
        print(peak(given.peak))
        return
    peaks = {}
    for name in METHODS:
        words = [sys.executable, __file__, "--peak", name]
        peaks[name] = float(subprocess.run(words, check=True, capture_output=True).stdout)
    ratios = time_all(given.rounds)
    print(environment(CPU))
    print(f"seconds a step relative to KD, quartiles (n = {given.rounds}); memory beside KD's, MB")
    for name, (middle, low, high) in sorted(ratios.items()):
        extra = peaks[name] - peaks[KD]
        print(f"{name:16} {middle:5.2f} [{low:.2f}, {high:.2f}] {extra:+7.0f}")
    if given.write:
        costs = {
            name: {"time": round(middle, 2), "memory_mb": round(peaks[name] - peaks[KD])}
            for name, (middle, _, _) in sorted(ratios.items())
        }
        COSTS.write_text(json.dumps({KD: {"time": 1.0, "memory_mb": 0}} | costs, indent=1) + "\n")


if __name__ == "__main__":
    main()
