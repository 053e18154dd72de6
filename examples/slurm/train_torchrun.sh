#!/usr/bin/env bash
# Trains on all devices of all nodes of the job, one process for each device:
#   sbatch --nodes=2 --gpus-per-node=4 train_torchrun.sh mine.yaml train.out=runs/mine
#SBATCH --job-name=empnn-train
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=16
#SBATCH --time=24:00:00
set -euo pipefail

devices=${SLURM_GPUS_ON_NODE:-1}
first=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)

exec srun torchrun --nnodes="$SLURM_JOB_NUM_NODES" --nproc-per-node="$devices" \
    --rdzv-id="$SLURM_JOB_ID" --rdzv-backend=c10d --rdzv-endpoint="$first:${MASTER_PORT:-29500}" \
    --no-python empnn train "$@" train.nodes="$SLURM_JOB_NUM_NODES" train.devices="$devices"
