"""A process that does one round and prints how much memory it took at most, in bytes."""

import json
import resource
import sys

from kdgap.benchmark.cases import CASES
from kdgap.benchmark.measure import ENGINE, build_arm
from kdgap.engine.device import make_deterministic


def main() -> None:
    """Read a case's key, an arm, a precision and a number of threads, as one JSON list."""
    key, arm, precision, threads = json.loads(sys.argv[1])
    make_deterministic(0, threads)
    built = build_arm(CASES[key], arm, precision)
    # The reference holds one run at a time; the engine all of them.
    built.round() if arm == ENGINE else built.warm_up()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(peak if sys.platform == "darwin" else peak * 1024)


if __name__ == "__main__":
    main()
