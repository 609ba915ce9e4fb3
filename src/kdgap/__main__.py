"""The `kdgap` command, also as `python -m kdgap`."""

import sys


def start() -> None:
    """Run the command, and import nothing from the current directory for it."""
    from kdgap.child import isolate

    isolate()
    from kdgap.cli import main

    main()


if __name__ == "__main__":
    if not sys.flags.safe_path:
        del sys.path[0]  # the current directory, by `-m`; before anything else is imported
    start()
