#!/usr/bin/env python3
"""The laws as a table: method by law, each cell passed, or why it does not apply.

Runs the tests that are made for every registered method, and prints Markdown. A failed law is a
cell of its own and exit code 1.
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path
from xml.etree import ElementTree

from kdgap.methods import METHODS

ROOT = Path(__file__).parent.parent
FILES = ("tests/laws/test_methods.py", "tests/laws/test_refusals.py", "tests/engine")
LAWS = {
    "test_agrees_with_the_numpy_reference_to_1e_9": "numpy 1e-9",
    "test_gradient_is_right": "gradcheck",
    "test_is_finite_for_extreme_outputs": "finite",
    "test_low_precision_outputs_give_a_float32_loss": "bf16 in, float32 out",
    "test_vanishes_when_student_and_teacher_agree": "0 at equality",
    "test_order_of_images_does_not_matter": "order of images",
    "test_order_of_classes_does_not_matter": "order of classes",
    "test_every_hyperparameter_changes_the_loss": "each field matters",
    "test_every_trained_part_gets_a_gradient_and_is_in_the_state": "parts move",
    "test_no_gradient_reaches_the_teacher_and_no_answer_is_written_into": "teacher untouched",
    "test_partial_batches_are_finite": "partial batches",
    "test_two_classes_are_defined_or_refused": "two classes",
    "test_what_a_network_lacks_is_refused_and_nothing_else": "lacking taps refused",
    "test_weights_that_are_no_weights": "bad weights refused",
    "test_one_spec_gives_one_result": "repeated, fp32 and bf16",
    "test_measuring_gradients_of_terms_disturbs_nothing": "probe disturbs nothing",
    "test_trains_like_a_plain_torch_loop": "plain torch loop",
}
TOGETHER = {
    "test_stopped_anywhere_and_resumed_from_disk_the_bits_are_the_same": "resumed anywhere",
}
"""Laws that are tried with all methods in one cohort."""


def outcomes() -> list[tuple[str, str, str]]:
    """Return (test, parameters, outcome) of every test that ran; an outcome may be a reason."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        words = ["-q", "-n", "2", f"--junitxml={report}", *FILES]
        subprocess.run([sys.executable, "-m", "pytest", *words], cwd=ROOT, check=False,
                       stdout=sys.stderr)  # fmt: skip
        cases = list(ElementTree.parse(report).iter("testcase"))  # noqa: S314  (our own file)
    rows = []
    for case in cases:
        name, _, parameters = str(case.get("name")).partition("[")
        skipped, failed = case.find("skipped"), case.find("failure")
        outcome = "passed" if skipped is None else str(skipped.get("message"))
        rows.append((name, parameters.rstrip("]"), "FAILED" if failed is not None else outcome))
    return rows


def of_method(parameters: str, method: str) -> bool:
    """Whether a test's parameters name a method."""
    return re.search(rf"(^|-){re.escape(method)}(-|$)", parameters) is not None


def cell(results: list[str], reasons: dict[str, int]) -> str:
    """Return what stands in the table: how many examples passed, or the number of a reason."""
    if "FAILED" in results:
        return "**failed**"
    passed = results.count("passed")
    if passed:
        return str(passed)
    if not results:
        return "?"
    return f"n/a [{reasons.setdefault(results[0], len(reasons) + 1)}]"


def main() -> int:
    """Run the laws and print the table."""
    rows, reasons = outcomes(), dict[str, int]()
    print(f"| method | {' | '.join(LAWS.values())} |\n|{'---|' * (len(LAWS) + 1)}")
    for method in sorted(METHODS):
        cells = [
            cell([o for name, p, o in rows if name == law and of_method(p, method)], reasons)
            for law in LAWS
        ]
        print(f"| {method} | {' | '.join(cells)} |")
    for law, words in TOGETHER.items():
        results = [outcome for name, _, outcome in rows if name == law]
        print(f"\nAll methods in one cohort, {words}: {cell(results, reasons)} places")
    for reason, number in reasons.items():
        print(f"\n[{number}] {reason.removeprefix('not applicable: ')}")
    return int(any(outcome == "FAILED" for _, _, outcome in rows))


if __name__ == "__main__":
    sys.exit(main())
