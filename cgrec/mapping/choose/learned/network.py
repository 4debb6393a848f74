"""The network behind `learned`: which pairs of heavy atoms would a person put into one bead?

Apart from `learned` because torch and torch_geometric take seconds to import.

Sources. Edge-conditioned isomorphism convolution: Hu et al., "Strategies for pre-training graph
neural networks", ICLR (2020). Learning affinities that a graph partition then uses: Li, Wellawatte,
Chakraborty, Gandhi, Xu, White, Chem. Sci. 11, 9524 (2020).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch_geometric.data import Batch, Data
from torch_geometric.nn import GINEConv

from ....files import open_npz
from .molecule import Features

#: Channels of an atom, and how many bonds away its surroundings are seen.
WIDTH, DEPTH = 56, 6
#: Most heavy atoms per bead, on average over a molecule, among the mappings it was taught.
LARGEST = 10.0


class PairNetwork(nn.Module):
    """Log-odds that two heavy atoms share a bead, from the bond graph and, if wanted, the atoms a
    bead has.

    Args:
        n_atom, n_bond, n_pair: numbers of features of an atom, a bond, a pair.
        width, depth: channels and convolutions.
        dropout: of the updates, while training.
    """

    def __init__(
        self,
        n_atom: int,
        n_bond: int,
        n_pair: int,
        width: int = WIDTH,
        depth: int = DEPTH,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.embed = nn.Linear(n_atom + 2, width)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(depth + 1))
        self.convolutions = nn.ModuleList(
            GINEConv(
                nn.Sequential(nn.Linear(width, 2 * width), nn.SiLU(), nn.Linear(2 * width, width)),
                edge_dim=n_bond,
            )
            for _ in range(depth)
        )
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Sequential(
            nn.Linear(3 * width + n_pair + 2, width),
            nn.SiLU(),
            nn.Dropout(dropout),
            nn.Linear(width, 1),
        )

    def forward(self, data: Data | Batch) -> Tensor:
        """(n_pairs,) log-odds; the same for (i, j) and (j, i) and for atoms the graph cannot tell
        apart.
        """
        molecule = (
            data.batch if data.batch is not None else torch.zeros(len(data.x), dtype=torch.long)
        )
        h = self.embed(torch.cat([data.x, data.resolution[molecule]], dim=1))
        for norm, convolve in zip(self.norms, self.convolutions):
            h = h + self.dropout(convolve(norm(h), data.edge_index, data.edge_attr))
        h = self.norms[-1](h)
        a, b = h[data.pair_index[0]], h[data.pair_index[1]]
        wanted = data.resolution[molecule[data.pair_index[0]]]
        return self.head(
            torch.cat([a + b, a * b, (a - b).abs(), data.pair_attr, wanted], dim=1)
        ).squeeze(1)


def resolution(n_groups: int, n_sites: int | None) -> Tensor:
    """(1, 2) the log of heavy atoms per bead, at most that of the largest beads it was taught, and
    whether it is known.
    """
    told = [0.0, 0.0] if n_sites is None else [np.log(min(n_groups / n_sites, LARGEST)), 1.0]
    return torch.tensor([told], dtype=torch.float32)


def graph(features: Features, n_sites: int | None) -> Data:
    """The molecule as torch_geometric wants it; every bond in both directions."""
    bonds = torch.from_numpy(features.bonds.reshape(-1, 2).T.copy())
    bond = torch.from_numpy(features.bond)
    return Data(
        x=torch.from_numpy(features.atom),
        edge_index=torch.cat([bonds, bonds.flip(0)], dim=1),
        edge_attr=torch.cat([bond, bond]),
        pair_index=torch.from_numpy(features.pairs.reshape(-1, 2).T.copy()),
        pair_attr=torch.from_numpy(features.pair),
        resolution=resolution(len(features.atom), n_sites),
    )


def log_odds(
    networks: Sequence[PairNetwork], features: Features, n_sites: int | None
) -> NDArray[np.float64]:
    """(n_pairs,) log-odds of sharing a bead, the mean over `networks`."""
    with torch.no_grad():
        return np.mean([net(graph(features, n_sites)).double().numpy() for net in networks], axis=0)


def save(networks: Sequence[PairNetwork], path: str | Path) -> None:
    """Write the weights in half precision."""
    arrays = {
        f"{k}/{name}": value.numpy().astype(np.float16)
        for k, net in enumerate(networks)
        for name, value in net.state_dict().items()
    }
    np.savez_compressed(path, **arrays)


def load(path: str | Path) -> list[PairNetwork]:
    """Networks that `save` wrote, ready to use."""
    states: dict[str, dict[str, Tensor]] = {}
    with open_npz(path) as arrays:
        for key in arrays.files:
            member, name = key.split("/")
            states.setdefault(member, {})[name] = torch.from_numpy(arrays[key].astype(np.float32))
    return [_restored(state) for state in states.values()]


def _restored(state: dict[str, Tensor]) -> PairNetwork:
    width = len(state["embed.bias"])
    depth = sum(name.endswith(".lin.bias") for name in state)
    net = PairNetwork(
        n_atom=state["embed.weight"].shape[1] - 2,
        n_bond=state["convolutions.0.lin.weight"].shape[1],
        n_pair=state["head.0.weight"].shape[1] - 3 * width - 2,
        width=width,
        depth=depth,
    )
    net.load_state_dict(state)
    return net.eval()
