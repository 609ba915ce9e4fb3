"""`python -m kdgap` is the `kdgap` command."""

from kdgap.cli import main

main()
