#!/usr/bin/env python3
"""The reference study's training command; `python tools/train.py --help` lists its flags."""

from kdgap.cli import main

main("kdgap.cli.reference:train_app")
