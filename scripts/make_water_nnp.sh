#!/usr/bin/env bash
# How cgrec/data/water_nnp was made: scripts/make_water_nnp.sh WATER_AIMD.npz [RUN]
#
# WATER_AIMD.npz: ab initio frames of 64 water molecules (PBE0+TS, 330 K; from the examples of DeePMD-kit), positions in angstrom,
# forces in eV/angstrom, energies in eV, in their order of time. Twenty minutes on one core: three members, then 4 x 50 ps at 330 K,
# whose frames, 0.25 ps apart, are the trajectory that experiment=water starts from.
set -euo pipefail
labels=$1
run=${2:-runs/water_nnp}
data=$(dirname "$0")/../cgrec/data/water_nnp

cgrec climb experiment=water_nnp source.labels.path="$labels" source.dynamics.length=50 source.dynamics.save_every=0.25 \
    source.dynamics.equilibration=4 run="$run" threads=1
mkdir -p "$data"
cp -r "$run"/level0/learning/{committee.pt,about.json,starts} "$data"
python - "$run/level0/frames" "$data/trajectory" <<'PY'
import sys
from dataclasses import replace
import numpy as np
from cgrec import Frames
frames = Frames.load(sys.argv[1])
single = {name: np.asarray(getattr(frames, name), np.float32) for name in ("positions", "forces")}
replace(frames, energies=None, **single).save(sys.argv[2])
PY
