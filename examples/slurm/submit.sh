#!/usr/bin/env bash
# Queues an array of N tasks and what joins their shards:
#   ./submit.sh candidates.extxyz relaxed.extxyz 100
set -euo pipefail

inputs=$1
output=$2
tasks=$3
here=$(cd "$(dirname "$0")" && pwd)
shards=${output%.*}-shards

array=$(sbatch --parsable --array="0-$((tasks - 1))" "$here/relax_array.sh" "$inputs" "$shards")
sbatch --parsable --dependency="afterany:${array%%;*}" "$here/merge.sh" "$shards" "$output"
