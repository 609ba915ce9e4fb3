#!/usr/bin/env bash
# Stage 2: the best configurations and the baselines on the final seeds, with fidelity. Leaves
# runs/final/…/{results,fidelity}.json. A best_configs.json that does not say what the selection
# says is refused. See tools/study.sh for the environment.
source "$(dirname "${BASH_SOURCE[0]}")/study.sh"
if [ -e "$best" ]; then
  "$python" tools/collect_results.py "$runs/select" --check-best "$best" >/dev/null
fi
run_stage finals
