"""How cgrec/data/learned_mapping was made: python scripts/make_learned_mapping.py HAM_JSON.TAR.GZ
[--seed 0] [--json FIGURES].

HAM_JSON.TAR.GZ: the human-annotated mappings of Li, Wellawatte, Chakraborty, Gandhi, Xu, White,
Chem. Sci. 11, 9524 (2020), github.com/rochesterxugroup/HAM_dataset, CC0. A tenth of the molecules
is never trained on; on the rest five networks are trained, each without another fifth of them. The
five together ship. Figures: single networks on the fifth that each has not seen, and the five on
the tenth. Molecules of one skeleton (elements and bonds, hydrogens apart) are on one side. Five to
ten minutes of one core.
"""

from __future__ import annotations

import argparse
import json
import re
import tarfile
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import networkx as nx
import numpy as np
import torch
from torch_geometric.data import Batch, Data

from cgrec.mapping import learned
from cgrec.mapping.choose.learned import network as learned_network
from cgrec.mapping.choose.learned.grouping import Partition, group
from cgrec.mapping.choose.learned.molecule import (
    ELEMENTS,
    REACH,
    Molecule,
    canonical_order,
    features,
)

FOLDS = 5
EPOCHS, BATCH, RATE, DECAY = 60, 32, 2e-3, 1e-2
#: Share of the training molecules of which the network is not told the number of beads.
UNTOLD = 0.3
#: Molecules of the tenth that are kept beside the weights for the tests: its first, whatever came
#: out for them.
EXAMPLES = 12
#: Symmetries of a molecule that are tried; a few molecules with many equal groups have more.
IMAGES = 200
VALENCE = {
    "C": 4,
    "N": 3,
    "O": 2,
    "S": 2,
    "P": 3,
    "B": 3,
    "Si": 4,
    "Se": 2,
    "F": 1,
    "Cl": 1,
    "Br": 1,
    "I": 1,
}
TOKEN = re.compile(r"\[[^\]]+\]|Br|Cl|[BCNOPSFI]|[bcnops]|%\d\d|\d|[-=#:/\\.()]")
BRACKET = re.compile(r"\[([A-Z][a-z]?|[a-z])(?:H(\d?))?([+-]?)\]")


class Drawn(NamedTuple):
    """A molecule and how people divided it: a bead number per heavy atom, for each annotation."""

    molecule: Molecule
    beads: list[np.ndarray]

    @property
    def skeleton(self) -> Molecule:
        """The molecule without hydrogens, in an order of its own."""
        bare = self.molecule._replace(hydrogens=(0,) * len(self.molecule.elements))
        return bare.reordered(canonical_order(bare))


# data


def read(path: str) -> list[Drawn]:
    """All molecules of the archive whose elements the network can be taught, annotations of one
    molecule together.
    """
    found: dict[Molecule, list[np.ndarray]] = defaultdict(list)
    with tarfile.open(path) as archive:
        for name in sorted(n for n in archive.getnames() if n.endswith(".json")):
            entry = json.load(archive.extractfile(name))  # type: ignore[arg-type]
            molecule = from_smiles(entry["smiles"])
            if molecule is None:
                continue
            order = canonical_order(molecule)
            beads = np.array(
                [node["cg"] for node in sorted(entry["nodes"], key=lambda node: node["id"])]
            )
            found[molecule.reordered(order)].append(beads[order])
    return [Drawn(molecule, beads) for molecule, beads in found.items()]


def from_smiles(smiles: str) -> Molecule | None:
    """Heavy atoms in the order of the SMILES, which is that of the annotations; None for what the
    network cannot know.
    """
    atoms, bonds, branches, open_rings, last, order = [], [], [], {}, None, 0
    for token in TOKEN.findall(smiles):
        if token == "(":
            branches.append(last)
        elif token == ")":
            last = branches.pop()
        elif token in "-=#:/\\":
            order = "-=#".find(token) + 1
        elif token == ".":
            last = None
        elif token[-1].isdigit():
            if token in open_rings:
                start, earlier = open_rings.pop(token)
                bonds.append((start, last, order or earlier))
            else:
                open_rings[token] = (last, order)
            order = 0
        else:
            if last is not None:
                bonds.append((last, len(atoms), order))
            last, order = len(atoms), 0
            atoms.append(token)
    parts = [BRACKET.fullmatch(atom) or BRACKET.fullmatch(f"[{atom}]") for atom in atoms]
    elements = tuple(part[1].capitalize() for part in parts)
    pairs = tuple(sorted((min(i, j), max(i, j)) for i, j, _ in bonds))
    whole = nx.Graph(pairs).number_of_nodes() == len(atoms) and nx.is_connected(nx.Graph(pairs))
    if not whole or not set(elements) <= set(ELEMENTS):
        return None
    used = [0] * len(atoms)
    for i, j, n in bonds:
        used[i] += n or 1
        used[j] += n or 1
    return Molecule(elements, tuple(_hydrogens(part, n) for part, n in zip(parts, used)), pairs)


def _hydrogens(part: re.Match, used: int) -> int:
    """As written, or those that fill the valence; the archive writes neutral [N] and [Si] where it
    means NH and SiH2.
    """
    if part[2] is not None:
        return int(part[2] or 1)
    if part[3]:
        return 0
    aromatic = part[1].islower()
    return max(0, VALENCE[part[1].capitalize()] - used - aromatic)


# training


def examples(drawn: list[Drawn]) -> list[Data]:
    """One graph per annotation, with the target and weight of every pair.

    Near pairs weigh more, and a molecule as the root of the number of its annotations.
    """
    graphs = []
    for molecule, divisions in drawn:
        given = features(molecule)
        for beads in divisions:
            graph = learned_network.graph(given, len(set(beads.tolist())))
            i, j = given.pairs.T
            graph.target = torch.from_numpy((beads[i] == beads[j]).astype(np.float32))
            distance = given.pair[:, :REACH].argmax(1)
            weight = (1.0 / (1 + distance)) / len(given.bonds) / len(divisions) ** 0.5
            graph.weight = torch.from_numpy(weight.astype(np.float32))
            graphs.append(graph)
    return graphs


def train(graphs: list[Data], seed: int, epochs: int = EPOCHS) -> learned_network.PairNetwork:
    """A network fitted by the cross entropy of the pairs."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    first = graphs[0]
    net = learned_network.PairNetwork(
        first.x.shape[1], first.edge_attr.shape[1], first.pair_attr.shape[1]
    )
    optimiser = torch.optim.AdamW(net.parameters(), lr=RATE, weight_decay=DECAY)
    n_batches = len(graphs) // BATCH
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, RATE, total_steps=epochs * n_batches, pct_start=0.15
    )
    for _ in range(epochs):
        order = rng.permutation(len(graphs))
        for chosen in np.array_split(order, n_batches):
            batch = Batch.from_data_list([graphs[k] for k in chosen])
            batch.resolution[torch.from_numpy(rng.random(len(chosen)) < UNTOLD)] = 0.0
            loss = torch.nn.functional.binary_cross_entropy_with_logits(
                net(batch), batch.target, batch.weight, reduction="sum"
            ) / len(chosen)
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimiser.step()
            schedule.step()
    return net.eval()


def train_all(folds: list[list[Drawn]], seed: int) -> list[learned_network.PairNetwork]:
    """One network for each fold, trained without it."""
    networks = []
    for k, fold in enumerate(folds):
        seen = [d for other in folds if other is not fold for d in other]
        networks.append(train(examples(seen), seed + k))
        print(f"network {k + 1} of {FOLDS}: trained on {len(seen)} molecules", flush=True)
    return networks


# figures


def rand_index(a: np.ndarray, b: np.ndarray) -> float:
    """Adjusted for chance (Hubert, Arabie, J. Classif. 2, 193 (1985)); one for two partitions that
    are the same.
    """
    pairs = lambda counts: (counts * (counts - 1) / 2).sum()  # noqa: E731
    table = np.array([[np.sum((a == x) & (b == y)) for y in np.unique(b)] for x in np.unique(a)])
    both, left, right = pairs(table), pairs(table.sum(1)), pairs(table.sum(0))
    chance = left * right / max(pairs(np.array([len(a)])), 1)
    top = (left + right) / 2
    return 1.0 if top == chance else float((both - chance) / (top - chance))


def cut_f1(a: np.ndarray, b: np.ndarray, bonds: np.ndarray) -> float:
    """F1 of the bonds that `b` cuts against those that `a` cuts."""
    left, right = (labels[bonds[:, 0]] != labels[bonds[:, 1]] for labels in (a, b))
    total = left.sum() + right.sum()
    return float(2 * (left & right).sum() / total) if total else 1.0


def images(molecule: Molecule) -> list[np.ndarray]:
    """Permutations of the atoms that leave elements, hydrogens and bonds as they are; the first
    leaves all in place.
    """
    graph = nx.Graph(list(molecule.bonds))
    for i, kind in enumerate(zip(molecule.elements, molecule.hydrogens)):
        graph.add_node(i, kind=kind)
    match = nx.isomorphism.GraphMatcher(
        graph, graph, node_match=lambda a, b: a["kind"] == b["kind"]
    )
    found = [np.arange(len(molecule.elements))]
    for image in match.isomorphisms_iter():
        found.append(np.array([image[i] for i in range(len(molecule.elements))]))
        if len(found) == IMAGES:
            break
    return found


def labels(beads: Partition) -> np.ndarray:
    """The number of its bead for each atom."""
    out = np.empty(sum(map(len, beads)), int)
    for k, bead in enumerate(beads):
        out[bead] = k
    return out


def divide(networks: list, molecule: Molecule, n_sites: int | None) -> np.ndarray:
    """The bead of each atom as the networks would have it."""
    given = features(molecule)
    values = learned.pair_values(given, learned_network.log_odds(networks, given, n_sites))
    return labels(group(molecule.neighbours(), values, n_sites))


def score(networks: list, drawn: Drawn) -> dict[str, float]:
    """ARI and F1 of one molecule, told the number of beads of each annotation ("given") or none
    ("free").

    "mean": over its annotations; "alike": the same, each by its symmetric image that is nearest,
    since nobody can know which of two equal bonds was cut; "best": of all annotations and images,
    as Li et al. evaluate.
    """
    bonds = np.array(drawn.molecule.bonds)
    alike = images(drawn.molecule)
    free = divide(networks, drawn.molecule, None)
    out: dict[str, list[list[float]]] = defaultdict(list)
    for beads in drawn.beads:
        given = divide(networks, drawn.molecule, len(np.unique(beads)))
        for way, found in (("given", given), ("free", free)):
            out[f"{way}_ari"].append([rand_index(beads[image], found) for image in alike])
            out[f"{way}_f1"].append([cut_f1(beads[image], found, bonds) for image in alike])
    figures = {
        f"{name}_mean": float(np.mean([row[0] for row in rows])) for name, rows in out.items()
    }
    figures |= {
        f"{name}_alike": float(np.mean([max(row) for row in rows])) for name, rows in out.items()
    }
    figures |= {f"{name}_best": float(max(map(max, rows))) for name, rows in out.items()}
    numbers = [len(np.unique(beads)) for beads in drawn.beads]
    same = [k for k, n in enumerate(numbers) if numbers.count(n) > 1]
    # where two people agree on the number: to be compared with how they agree on the beads
    if same:
        figures |= {
            f"same_number_{name}_alike": float(
                np.mean([max(out[f"given_{name}"][k]) for k in same])
            )
            for name in ("ari", "f1")
        }
    return figures | {
        "free_beads": float(len(np.unique(free))),
        "human_beads": float(np.mean(numbers)),
    }


def agreement(drawn: list[Drawn]) -> list[dict[str, float]]:
    """People against each other, for each molecule that several have divided: all pairs of
    annotations.

    "alike": by the symmetric image that is nearest; "same_number": pairs of equally many beads
    only.
    """
    rows = []
    for molecule, divisions in drawn:
        bonds, symmetries = np.array(molecule.bonds), images(molecule)
        row: dict[str, list[float]] = defaultdict(list)
        for a, b in ((a, b) for k, a in enumerate(divisions) for b in divisions[:k]):
            ari = [rand_index(a[image], b) for image in symmetries]
            f1 = [cut_f1(a[image], b, bonds) for image in symmetries]
            for prefix in ("", "same_number_") if len(np.unique(a)) == len(np.unique(b)) else ("",):
                for name, values in (("ari", ari), ("f1", f1)):
                    row[f"{prefix}{name}_mean"].append(values[0])
                    row[f"{prefix}{name}_alike"].append(max(values))
        if row:
            rows.append({name: float(np.mean(values)) for name, values in row.items()})
    return rows


def summary(rows: list[dict[str, float]]) -> dict[str, dict[str, float]]:
    """Mean over the molecules, its standard error and their number."""
    out = {}
    for name in sorted({name for row in rows for name in row}):
        values = np.array([row[name] for row in rows if name in row])
        out[name] = {
            "mean": round(float(values.mean()), 4),
            "error": round(float(values.std(ddof=1) / len(values) ** 0.5), 4),
            "molecules": len(values),
        }
    return out


def split(drawn: list[Drawn], seed: int) -> tuple[list[Drawn], list[list[Drawn]]]:
    """The tenth that is held out and the folds; molecules of one skeleton lie together."""
    families: dict[Molecule, list[Drawn]] = defaultdict(list)
    for d in drawn:
        families[d.skeleton].append(d)
    order = np.random.default_rng(seed).permutation(len(families))
    members = list(families.values())
    parts = np.array_split(order, 2 * FOLDS)
    held, rest = parts[0], np.concatenate(parts[1:])
    pick = lambda chosen: [d for k in chosen for d in members[k]]  # noqa: E731
    return pick(held), [pick(part) for part in np.array_split(rest, FOLDS)]


def stored(networks: list, drawn: Drawn) -> dict:
    """A molecule, how people divided it, and the F1 of the networks, so that a test can measure it
    again.
    """
    return drawn.molecule._asdict() | {
        "beads": [beads.tolist() for beads in drawn.beads],
        "given_f1_mean": score(networks, drawn)["given_f1_mean"],
    }


def main() -> None:
    """Train, print the figures, write the weights."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("archive")
    arguments.add_argument("--seed", type=int, default=0)
    arguments.add_argument("--json", type=Path, help="write the figures here as well")
    arguments.add_argument(
        "--measure-only", action="store_true", help="of weights made before, with the same seed"
    )
    arguments.add_argument(
        "--out", type=Path, default=Path(__file__).parents[1] / "cgrec" / "data" / "learned_mapping"
    )
    options = arguments.parse_args()
    torch.set_num_threads(1)  # sums in one order: the same weights from the same seed
    drawn = read(options.archive)
    held, folds = split(drawn, options.seed)
    if not options.measure_only:
        options.out.mkdir(parents=True, exist_ok=True)
        learned_network.save(train_all(folds, options.seed), options.out / "weights.npz")
    shipped = learned_network.load(options.out / "weights.npz")
    single = [score([net], d) for net, fold in zip(shipped, folds) for d in fold]
    figures = {
        "molecules": len(drawn),
        "annotations": sum(len(d.beads) for d in drawn),
        "single": summary(single),
        "together": summary([score(shipped, d) for d in held]),
        "people": summary(agreement(drawn)),
    }
    (options.out / "held_out.json").write_text(
        json.dumps([stored(shipped, d) for d in held[:EXAMPLES]]) + "\n"
    )
    text = json.dumps(
        {
            "seed": options.seed,
            "source": "HAM (CC0), Li et al., Chem. Sci. 11, 9524 (2020)",
            **figures,
        },
        indent=1,
    )
    for path in filter(None, (options.out / "about.json", options.json)):
        path.write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
