#!/usr/bin/env bash
# The published bug, on purpose: the winner of R50 to R18 Feature-KD with unclipped projections.
# Leaves runs/bug_ablation/…. See tools/study.sh for the environment.
source "$(dirname "${BASH_SOURCE[0]}")/study.sh"
run_stage projection_clipping
