#!/usr/bin/env bash
# One task of an array relaxes every N-th crystal, N being the number of tasks:
#   sbatch --array=0-99 relax_array.sh candidates.extxyz shards
# Queued again after a failure (sbatch --requeue, scontrol requeue), a task goes on from where it was.
# Status 1 means that some crystals were refused, as on one machine: what follows waits with afterany, not afterok.
#SBATCH --job-name=empnn-relax
#SBATCH --array=0-99
#SBATCH --cpus-per-task=1
#SBATCH --mem=2G
#SBATCH --time=04:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
set -euo pipefail

inputs=$1
shards=$2
shift 2

# Tasks may be numbered from 1 or in steps: what counts is the place of this one among them.
number=$(((SLURM_ARRAY_TASK_ID - SLURM_ARRAY_TASK_MIN) / ${SLURM_ARRAY_TASK_STEP:-1}))
export OMP_NUM_THREADS=${SLURM_CPUS_PER_TASK:-1}

exec empnn relax "$inputs" -o "$shards/" --shard "$number/$SLURM_ARRAY_TASK_COUNT" --resume --quiet "$@"
