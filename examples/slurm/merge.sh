#!/usr/bin/env bash
# Joins the shards of an array in the order of the inputs; a missing one is named, and nothing is written then:
#   sbatch --dependency=afterany:JOB merge.sh shards relaxed.extxyz
#SBATCH --job-name=empnn-merge
#SBATCH --cpus-per-task=1
#SBATCH --mem=4G
#SBATCH --time=02:00:00
set -euo pipefail

exec empnn merge "$1" -o "$2"
