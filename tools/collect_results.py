#!/usr/bin/env python3
"""The reference study's collector; `python tools/collect_results.py --help` lists its flags."""

from kdgap.cli import main

main("kdgap.cli.reference:collect_app")
