#!/usr/bin/env bash
# Trains the study's teachers on three seeds and puts the best-validation weights of seed 0 where
# the configurations look for them. Finished teachers are kept, so it can be started again.
# tools/places.sh says where things are kept.
#   EPOCHS=200 BS=128 LR=0.1 DEVICE=auto SEEDS="0 1 2" TEACHERS="r34 r50 r101" DATA_ROOT=data
#   LIMIT=256 caps the images of each split: a smoke run, marked as such in every record.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/places.sh"

for teacher in ${TEACHERS:-r34 r50 r101}; do
  for seed in ${SEEDS:-0 1 2}; do
    "$python" tools/train.py --model "resnet${teacher#r}" --kd-type none \
      --epochs "${EPOCHS:-200}" --batch-size "${BS:-128}" --lr "${LR:-0.1}" \
      --device "${DEVICE:-auto}" --data-root "${DATA_ROOT:-data}" --seed "$seed" \
      --output-dir "$runs/teachers/$teacher/seed$seed" ${LIMIT:+--limit "$LIMIT"}
  done
  trained="$runs/teachers/$teacher/seed0/checkpoint_best.safetensors"
  if [ -f "$trained" ]; then
    mkdir -p "$checkpoints"
    cp "$trained" "$checkpoints/.teacher_$teacher.partial"
    mv "$checkpoints/.teacher_$teacher.partial" "$checkpoints/teacher_$teacher.safetensors"
    echo "$checkpoints/teacher_$teacher.safetensors"
  fi
done
