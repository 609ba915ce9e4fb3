#!/bin/sh
# A study on an allocation: Ray runs on its machines as long as the study does.
#   sbatch --nodes=4 configs/cluster/slurm-ray.sh STUDY.yaml /shared/studies/NAME
# The second word may be a URL, s3://BUCKET/NAME, where the machines share no folder.
#SBATCH --job-name=kdgap
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=8
#SBATCH --time=24:00:00
#SBATCH --signal=TERM@60
set -eu
study=$1 out=$2
head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
port=$((20000 + SLURM_JOB_ID % 20000)) # other jobs may have a cluster on the same machine
# Others in the network cannot use this cluster: they do not know its token.
export RAY_AUTH_MODE=token
RAY_AUTH_TOKEN=$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')
export RAY_AUTH_TOKEN
# A minute before its time is over Slurm stops all of it. The same command goes on from the last
# states, which are a minute old at most.
exec srun ray symmetric-run --address "$head:$port" --min-nodes "$SLURM_JOB_NUM_NODES" \
  --num-cpus "$SLURM_CPUS_PER_TASK" -- \
  kdgap run "$study" --ray "$head:$port" --out "$out"
