#!/usr/bin/env python3
"""The reference study's figures; `python tools/make_figures.py --help` lists its flags."""

from kdgap.cli import run
from kdgap.cli.figures import figures_app

run(figures_app)
