#!/usr/bin/env python3
"""The reference study's training command; `python tools/train.py --help` lists its flags."""

from kdgap.cli import run
from kdgap.cli.reference import train_app

run(train_app)
