# Shared by the study's commands (sourced, not run): the environment becomes options of `kdgap run`.
#   EPOCHS=100 BS=128 LR=0.1 DEVICE=auto       as in the reference study
#   SEEDS="0 1 2 3 4" SELECT_SEEDS="1000" STEM_SEEDS="0 1 2" DATA_ROOT=data WORKERS=1
#   STUDY=configs/studies/reference.yaml; tools/places.sh has RUNS, CHECKPOINTS, BEST and PYTHON
#   LIMIT=256 caps the images of each split: a smoke run, marked as such in every file.
#   SET="methods.logit.alpha=[0.5] precision=bf16" overrides anything else.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/places.sh"
study="$runs/reference_commands"
# The folder's name of before: a study that was begun there goes on.
if [[ -d "$runs/reference_doors" && ! -d "$study" ]]; then study="$runs/reference_doors"; fi
options=(--out "$study" --workers "${WORKERS:-1}" --device "${DEVICE:-auto}")

change() { options+=(--set "$1=$2"); }
list() { local IFS=,; echo "[$*]"; }

change data.root "${DATA_ROOT:-data}"
change teachers.seeds "[0]"
for teacher in r34 r50 r101; do
  change "teachers.weights.$teacher" "$checkpoints/teacher_$teacher.safetensors"
done
[ -z "${EPOCHS:-}" ] || change recipe.epochs "$EPOCHS"
[ -z "${EPOCHS:-}" ] || change teachers.recipe.epochs "$EPOCHS"
[ -z "${BS:-}" ] || change recipe.batch_size "$BS"
[ -z "${LR:-}" ] || change recipe.lr "$LR"
[ -z "${LIMIT:-}" ] || change data.limit "$LIMIT"
set -f  # lists of seeds and SET are words, and their brackets are no patterns
# shellcheck disable=SC2086
[ -z "${SELECT_SEEDS:-}" ] || change selection.seeds "$(list $SELECT_SEEDS)"
# shellcheck disable=SC2086
if [ -n "${SEEDS:-}" ]; then
  change finals.seeds "$(list $SEEDS)"
  change ablations.projection_clipping.seeds "$(list $SEEDS)"
fi
# shellcheck disable=SC2086
for model in ${STEM_SEEDS:+r18 r34}; do change "ablations.stem_$model.seeds" "$(list $STEM_SEEDS)"; done
for word in ${SET:-}; do options+=(--set "$word"); done
set +f

# run_stage STAGE...: do these stages, then leave result files where the reference leaves its own.
run_stage() {
  local only=()
  for stage in "$@"; do only+=(--only "$stage"); done
  "$python" -m kdgap run "${STUDY:-configs/studies/reference.yaml}" "${options[@]}" "${only[@]}"
  "$python" -m kdgap export "$study" --to "$runs"
}
