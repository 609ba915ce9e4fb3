#!/bin/sh
# One runner of a study a task; runners share the folder, and need nothing but its locks.
#   sbatch --array=1-8 configs/cluster/slurm-array.sh STUDY.yaml /shared/studies/NAME
#SBATCH --job-name=kdgap
#SBATCH --cpus-per-task=4
#SBATCH --time=24:00:00
#SBATCH --signal=TERM@60
set -eu
# A minute before its time is over Slurm sends SIGTERM: states are saved, and the next job goes on.
exec kdgap run "$1" --out "$2"
