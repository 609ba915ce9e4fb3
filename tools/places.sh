# Where the doors read and write (sourced, not run). A smoke run (LIMIT) keeps to itself, so that no
# real result or teacher is overwritten.
python="${PYTHON:-python}"
runs="${RUNS:-runs${LIMIT:+-smoke}}"
checkpoints="${CHECKPOINTS:-${LIMIT:+$runs/}checkpoints}"
best="${BEST:-${LIMIT:+$runs/}best_configs.json}"
