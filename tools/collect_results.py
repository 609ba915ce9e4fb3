#!/usr/bin/env python3
"""The reference study's collector; `python tools/collect_results.py --help` lists its flags."""

from kdgap.cli import run
from kdgap.cli.reference import collect_app

run(collect_app)
