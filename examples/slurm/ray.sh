#!/usr/bin/env bash
# Makes a Ray cluster of the nodes of the job, and relaxes on it:
#   sbatch --nodes=4 ray.sh relax candidates/ -o shards/ --resume
#SBATCH --job-name=empnn-ray
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=64
#SBATCH --time=24:00:00
set -euo pipefail

first=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
address=$first:${RAY_PORT:-6379}
cpus=${SLURM_CPUS_PER_TASK:-1}
export RAY_USAGE_STATS_ENABLED=0 OMP_NUM_THREADS=1

# Each stays in the foreground of its step, so that Slurm ends it with the job.
srun --nodes=1 --ntasks=1 --nodelist="$first" \
    ray start --head --port="${address##*:}" --num-cpus="$cpus" --include-dashboard=false --block &
others=$((SLURM_JOB_NUM_NODES - 1))
if ((others > 0)); then
    srun --nodes="$others" --ntasks="$others" --exclude="$first" \
        ray start --address="$address" --num-cpus="$cpus" --block &
fi
for _ in $(seq 60); do
    ray status --address="$address" >/dev/null 2>&1 && break
    sleep 2
done

status=0
empnn "$@" --cluster "$address" || status=$?
kill %1 2>/dev/null || true
exit "$status"
