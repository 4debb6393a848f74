#!/usr/bin/env bash
# Learn the all-atom NNP of alanine dipeptide from GFN2-xTB/ALPB (half an hour on one core; resumable) and put it
# where the package ships it from.
set -euo pipefail
cd "$(dirname "$0")/.."
run=${1:-runs/alanine_dipeptide_nnp}
cgrec climb experiment=alanine_dipeptide_nnp run="$run"
place=cgrec/data/alanine_dipeptide_nnp
mkdir -p "$place"
cp -r "$run/level0/potential.pt" "$run/level0/starts" "$place"
