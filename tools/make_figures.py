#!/usr/bin/env python3
"""The reference study's figures; `python tools/make_figures.py --help` lists its flags."""

from kdgap.cli import main

main("kdgap.cli.figures:figures_app")
