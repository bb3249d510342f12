#!/bin/sh
# Slurm without Dask: every task of a job array applies a model to its share of the files.
# Submit from a folder with files.txt (one DL1 file per line):
#     mkdir -p dl2
#     sbatch --array=1-20 apply_job_array.sh files.txt dl2 --model lst.safetensors
# Complete outputs are skipped, so submit again whatever failed.
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=1
#SBATCH --mem=4G
#SBATCH --time=04:00:00
#SBATCH --output=apply_%A_%a.log
set -eu
list=$1 folder=$2
shift 2
export OMP_NUM_THREADS="${SLURM_CPUS_PER_TASK:-1}"
first=$SLURM_ARRAY_TASK_ID every=${SLURM_ARRAY_TASK_COUNT:-1}
failed=0
# lines first, first + every, ...: each file alone, so that a damaged one stops no other
for line in $(seq "$first" "$every" "$(wc -l < "$list")"); do
    input=$(sed -n "${line}p" "$list")
    ctapipe-gammalearn-apply -i "$input" -o "$folder" "$@" || failed=$?
done
exit "$failed"
