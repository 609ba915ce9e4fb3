#!/usr/bin/env bash
# Stage 1: every configuration of the grid on the selection seed, judged on validation images alone.
# Leaves runs/select/TEACHER_to_STUDENT/METHOD/CONFIGURATION/seedN/results.json. See tools/study.sh.
source "$(dirname "${BASH_SOURCE[0]}")/study.sh"
run_stage selection
