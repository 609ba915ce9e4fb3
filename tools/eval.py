#!/usr/bin/env python3
"""The reference study's fidelity command; `python tools/eval.py --help` lists its flags."""

from kdgap.cli import main

main("kdgap.cli.reference:eval_app")
