#!/usr/bin/env python3
"""The reference study's fidelity command; `python tools/eval.py --help` lists its flags."""

from kdgap.cli import run
from kdgap.cli.reference import eval_app

run(eval_app)
