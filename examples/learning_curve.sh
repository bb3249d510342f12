#!/usr/bin/env bash
# Learning curve and short ablations of the docs (trained_models), from the arrays of a training:
#   examples/learning_curve.sh GAMMA PROTON FOLDER
# GAMMA and PROTON are DL1 files or array folders, such as those of `make train-data`.  What is
# there is kept; one line of validation figures for each run.
set -euo pipefail
gamma=$(realpath "$1") proton=$(realpath "$2") folder=${3:?give a folder}
mkdir -p "$folder"

train() { # train NAME SECTIONS...
    local name=$1
    shift
    printf '%s\n' "$@" >"$folder/$name.yaml"
    ctapipe-gammalearn-train --config "$folder/$name.yaml" -i "$gamma" -i "$proton" \
        -o "$folder/$name" 2>&1 | tee "$folder/$name.log"
}

for n in 1200 3700 12000 37000; do
    train "curve_$n" "data: {max_images: $n}" "run: {epochs: 1000, max_steps: 2320}"
done
two="run: {epochs: 2}"
camera="network: {block_features: [8, 16, 32], attention: dual, ratio: 8"
train base "$two"
train cleaned "shower: {all_pixels: false}" "$two"
train offset "loss: {direction: l1}" "$two"
train axis "loss: {direction: axis_sign}" "$two"
train no_features "shower: {features: false}" "$two"
train attention "network: {attention: dual}" "$two"
train camera "$camera}" "shower: {crop: null}" "$two"
train camera_long "$camera}" "shower: {crop: null}" "data: {energy_weight_index: 0.3}" \
    "optimiser: {average: 0.999}" "run: {epochs: 8}"
train cartesian "$camera, variant: cartesian}" "shower: {crop: null}" "$two"
