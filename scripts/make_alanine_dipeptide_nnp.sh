#!/usr/bin/env bash
# Learn the all-atom NNP of alanine dipeptide from GFN2-xTB/ALPB and put it where the package ships it from.
set -euo pipefail
run=${1:-runs/alanine_dipeptide_nnp}
cgrec climb source.potential=null levels=null variables.phi='["ACE:C","ALA:N","ALA:CA","ALA:C"]' run="$run"
