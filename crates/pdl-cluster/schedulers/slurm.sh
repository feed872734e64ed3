#!/bin/bash
# The pair matrix by a Slurm array whose tasks share the tiles; pdl is on the path, OUT on every node.
#     sbatch --array=0-999 --cpus-per-task=4 slurm.sh OUT BLOCKS [flags of pdl tile]
# N cases make BLOCKS = N / 128 blocks, rounded up. Afterwards `pdl compare OUT` finds the tiles done; so does a second
# sbatch, when tasks have failed.
set -euo pipefail
out=$1 blocks=$2; shift 2
number=0
for ((row = 0; row < blocks; row++)); do
    for ((col = row; col < blocks; col++)); do
        if ((number++ % SLURM_ARRAY_TASK_COUNT == SLURM_ARRAY_TASK_ID - SLURM_ARRAY_TASK_MIN)); then
            pdl tile "$out" --row "$row" --col "$col" --threads "${SLURM_CPUS_PER_TASK:-1}" "$@"
        fi
    done
done
