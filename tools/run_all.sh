#!/usr/bin/env bash
# Everything in order; whatever is done already is found again. Minutes instead of weeks, in
# runs-smoke/ and marked as a smoke run everywhere:
#   EPOCHS=1 LIMIT=64 SEEDS="0 1" TEACHER_SEEDS=0 STEM_SEEDS=0 bash tools/run_all.sh
# TEACHER_SEEDS="0 1 2" are the teachers' own; the rest of the environment is in tools/study.sh.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/places.sh"

SEEDS="${TEACHER_SEEDS:-0 1 2}" bash tools/train_teachers.sh
bash tools/run_ablation.sh
"$python" tools/collect_results.py "$runs/select" --write-best "$best"
bash tools/run_final.sh
bash tools/run_bug_ablation.sh
bash tools/run_stem_ablation.sh
"$python" tools/collect_results.py "$runs/final" --csv "$runs/final.csv"
"$python" tools/make_figures.py --runs "$runs" --out "${LIMIT:+$runs/}figures"
