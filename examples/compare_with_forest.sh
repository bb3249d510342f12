#!/usr/bin/env bash
# From simulation to the comparison of networks with the Random Forest, all numbers of the docs:
#   examples/compare_with_forest.sh FOLDER [MODEL...]
# simulates test samples at several noise levels, trains ctapipe's Random Forest on the training
# samples FOLDER/data, which `make train-small` makes, and evaluates it and the models (default:
# the one that it trains) on the same images.  What is there is kept: run it again after an
# interruption.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
folder=$(realpath "${1:?give a folder}")
shift
[ $# -gt 0 ] || set -- "$folder/small/model.safetensors"
models=()
for model in "$@"; do models+=("$(realpath -e "$model")"); done
mkdir -p "$folder/test" "$folder/evaluation"
cd "$folder"

simulate() { # simulate NAME SCALE-OF-GAMMAS SCALE-OF-PROTONS OPTIONS...
    local name=$1 gamma=$2 proton=$3
    shift 3
    printf '%s\n' "$@" >"test/$name.yaml"
    printf '%s\n' "$@" "viewcone: [0, 6]" "reuse: 20" >"test/$name.proton.yaml"
    ctapipe-gammalearn-simulate -o "test/$name" --preset standard --samples test_gamma_point \
        --scale "$gamma" --run-options "test/$name.yaml"
    ctapipe-gammalearn-simulate -o "test/$name" --preset standard --samples test_proton \
        --scale "$proton" --run-options "test/$name.proton.yaml"
}

simulate nominal 0.1 0.284 "nsb: 1.0"
for nsb in 0.7 1.3 2.0; do
    simulate "nsb$nsb" 0.05 0.0142 "nsb: $nsb"
done
simulate throughput0.9 0.05 0.0142 "nsb: 1.0" "data_like: {throughput: 0.9}"
simulate dead1 0.05 0.0142 "nsb: 1.0" "data_like: {dead_pixels: 0.01}"

for path in test/*/; do
    name=$(basename "$path")
    ln -sf "$name/test_gamma_point.dl1.h5" "test/$name.gamma.dl1.h5"
    ln -sf "$name/test_proton.dl1.h5" "test/$name.proton.dl1.h5"
done

python "$here/train_forest.py" --gamma data/train_gamma_diffuse.dl1.h5 \
    --background data/train_proton.dl1.h5 --apply test/*.gamma.dl1.h5 test/*.proton.dl1.h5 \
    -o forest

options=()
for model in "${models[@]}"; do options+=(-m "$model"); done
for path in test/*.gamma.dl1.h5; do
    name=$(basename "$path" .gamma.dl1.h5)
    if [ ! -e "evaluation/$name/intensity.ecsv" ]; then
        ctapipe-gammalearn-evaluate -i "$path" -i "test/$name.proton.dl1.h5" "${options[@]}" \
            --dl2 "forest/$name.gamma.dl2.h5" --dl2 "forest/$name.proton.dl2.h5" \
            -o "evaluation/$name"
    fi
done
