#!/usr/bin/env bash
# From simulation to the report of ctapipe-gammalearn-irf, one telescope and four:
#   examples/report.sh FOLDER [SCALE]
# trains ctapipe's Random Forest on the training samples FOLDER/data, which `make train-data`
# makes and on which the models of the package were trained, simulates test samples, and gives
# both reconstructions, lst-gammaphysnet and the forest, the same events.  SCALE multiplies the size of
# the test samples: 0.02 is a rehearsal of minutes that finds too few events for most of the verdict.
# What is there is kept: run it again after an interruption, and take another folder for another scale.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
folder=${1:?give a folder}
size=${2:-1}
mkdir -p "$folder/test" "$folder/network"
cd "$folder"
model=lst-gammaphysnet.safetensors
[ -e "$model" ] || ctapipe-gammalearn-models fetch lst-gammaphysnet -o .

printf '%s\n' "nsb: 1.0" | tee test/gamma.yaml >test/gamma_diffuse.yaml
printf '%s\n' "nsb: 1.0" "viewcone: [0, 6]" "reuse: 20" >test/proton.yaml

reconstruct() { # reconstruct NAME SAMPLE SCALE OPTIONS...
    local name=$1 sample=$2 scale=$3 kind=${2#test_}
    shift 3
    kind=${kind%_point}
    scale=$(awk -v a="$scale" -v b="$size" 'BEGIN { print a * b }')
    ctapipe-gammalearn-simulate -o "test/$name" --preset standard --samples "$sample" \
        --scale "$scale" --run-options "test/$kind.yaml" "$@"
    if [ ! -e "network/$name.$kind.h5" ]; then
        ctapipe-gammalearn-apply -i "test/$name/$sample.dl1.h5" -o "network/$name" --model "$model"
        mv "network/$name/$sample.dl2.h5" "network/$name.$kind.h5"
    fi
}

reconstruct mono test_gamma_point 0.1
reconstruct mono test_gamma_diffuse 0.1
reconstruct mono test_proton 0.284
reconstruct stereo test_gamma_point 0.1 --array 4LST
reconstruct stereo test_gamma_diffuse 0.1 --array 4LST
reconstruct stereo test_proton 0.142 --array 4LST

python "$here/train_forest.py" --gamma data/train_gamma_diffuse.dl1.h5 \
    --background data/train_proton.dl1.h5 --apply network/*.h5 -o forest

[ -e timing.json ] || python "$here/time_reconstructors.py" test/mono/test_gamma_point.dl1.h5 \
    "$model" forest -o timing.json

for name in mono stereo; do
    ctapipe-gammalearn-irf --config "$here/report_$name.yaml" --gamma "forest/$name.gamma.dl2.h5" \
        --gamma-diffuse "forest/$name.gamma_diffuse.dl2.h5" \
        --proton "forest/$name.proton.dl2.h5" --timing timing.json -o "report_$name" --overwrite
done
