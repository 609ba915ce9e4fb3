#!/usr/bin/env bash
# What the CIFAR stem is worth: R18 and R34 on three seeds, R50 on one, with both stems. Leaves
# runs/stem_ablation/MODEL_STEM/seedN/results.json. See tools/study.sh for the environment.
source "$(dirname "${BASH_SOURCE[0]}")/study.sh"
run_stage stem_r18 stem_r34 stem_r50
