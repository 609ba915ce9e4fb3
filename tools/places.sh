# Where every command of the reference keeps things (sourced, not run), relative to the repository, which it enters.
#   RUNS=runs CHECKPOINTS=checkpoints BEST=best_configs.json PYTHON=python
# A smoke run (LIMIT is set) keeps to RUNS=runs-smoke, its teachers and best configurations in there,
# so that no real result is overwritten. CHECKPOINTS=checkpoints gives it the real teachers.
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python="${PYTHON:-python}"
# A ~ in quotes is expanded by nobody else, and would be made a folder.
home() { case "$1" in "~"|"~/"*) echo "$HOME${1#"~"}" ;; *) echo "$1" ;; esac; }
runs="$(home "${RUNS:-runs${LIMIT:+-smoke}}")"
checkpoints="$(home "${CHECKPOINTS:-${LIMIT:+$runs/}checkpoints}")"
best="$(home "${BEST:-${LIMIT:+$runs/}best_configs.json}")"
