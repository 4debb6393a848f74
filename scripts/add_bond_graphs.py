"""Give the potentials that ship the bond graph they were fitted to: files of earlier versions do
not hold it.

    python scripts/add_bond_graphs.py

Each potential with terms between numbered sites gets the graph of the first copies' worth of sites
of the System beside it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from cgrec import System
from cgrec.files import write_whole
from cgrec.potential import BondGraph

DATA = Path(__file__).parents[1] / "cgrec" / "data"
SHIPPED = {
    "alanine_dipeptide_nnp/potential.pt": "alanine_dipeptide_nnp/starts/system.json",
    "water_nnp/committee.pt": "water_nnp/trajectory/system.json",
}


def with_graph(state: dict[str, Any], system: System) -> dict[str, Any]:
    """The state with `bond_graph` in every part that numbers its sites."""
    config = dict(state["config"])
    if "states" in config:
        config["states"] = [with_graph(part, system) for part in config["states"]]
    if "n_sites" in config:
        config["bond_graph"] = BondGraph.of(system.select(range(config["n_sites"]))).config
    return {**state, "config": config}


def main() -> None:
    """Rewrite what ships."""
    for name, beside in SHIPPED.items():
        state = torch.load(DATA / name, weights_only=True)
        new = with_graph(state, System.load(DATA / beside))
        write_whole(DATA / name, lambda partial, new=new: torch.save(new, partial))
        print(f"{name}: graph of {beside} added")


if __name__ == "__main__":
    main()
