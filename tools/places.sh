# Where every door keeps things (sourced, not run), relative to the repository, which it enters.
#   RUNS=runs CHECKPOINTS=checkpoints BEST=best_configs.json PYTHON=python
# A smoke run (LIMIT is set) keeps to RUNS=runs-smoke, its teachers and best configurations in there,
# so that no real result is overwritten. CHECKPOINTS=checkpoints gives it the real teachers.
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python="${PYTHON:-python}"
runs="${RUNS:-runs${LIMIT:+-smoke}}"
checkpoints="${CHECKPOINTS:-${LIMIT:+$runs/}checkpoints}"
best="${BEST:-${LIMIT:+$runs/}best_configs.json}"
