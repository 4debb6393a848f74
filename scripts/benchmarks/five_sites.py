"""Five sites of alanine dipeptide by hand and as proposed: python scripts/benchmarks/five_sites.py
OUT

Climbs one level from the atoms with the five backbone atoms that people pick and with the proposals
of `cgrec map`, everything else alike, and compares each level's run with its parent in the two
dihedrals of its own chain of sites: Jensen-Shannon divergence above its sampling floor, as the
forces alone give it and after `refine`. Level 0 is made once. Interrupted, the same command goes
on.
"""

import argparse
import json
import shutil
from pathlib import Path

import one_site_water
import yaml

from cgrec.cli import main as cgrec
from cgrec.mapping import Mapping

HAND = {"_target_": "cgrec.mapping.Pick", "sites": ["ACE:C", "ALA:N", "ALA:CA", "ALA:C", "NME:N"]}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--json", type=Path, help="write everything measured here")
    parser.add_argument(
        "options", nargs="*", help="of cgrec climb, e.g. experiment=alanine_dipeptide_full"
    )
    arguments = parser.parse_args()
    out = arguments.out
    climb(out, "by_hand", HAND, [0, 1, 2, 3, 4], arguments.options)
    if not (out / "maps" / "table.txt").exists():
        cgrec(["map", f"run={out / 'by_hand'}", "level=0", "n_sites=5", f"to={out / 'maps'}"])
    rows = [row(out / "by_hand")]
    for path in sorted((out / "maps" / "mapping").glob("*_5_centre_*.yaml")):
        order = chain(out / "by_hand", path)
        if order is None:
            print(
                f"{path.stem}: its sites are no chain, which has no two dihedrals to compare; left "
                "out"
            )
            continue
        climb(out, path.stem, yaml.safe_load(path.read_text()), order, arguments.options)
        rows.append(row(out / path.stem))
    print(
        one_site_water.table(
            [
                "five sites",
                "forces alone: excess JS",
                "error",
                "refined: excess JS",
                "error",
                "explained",
            ],
            [[r["name"], *r["forces"], *r["refined"], r["explained"]] for r in rows],
        )
    )
    one_site_water.keep(arguments.json, {"rows": rows})


def climb(out: Path, name: str, mapping: dict, order: list[int], options: list[str]) -> None:
    """One level above level 0, biased, refined and compared along the chain `order`."""
    folder = out / name
    if not (folder / "level0").exists() and (out / "by_hand" / "level0").exists():
        folder.mkdir(parents=True)
        shutil.copytree(out / "by_hand" / "level0", folder / "level0")
    rules = out / "rules" / "mapping"
    rules.mkdir(parents=True, exist_ok=True)
    (rules / f"{name}.yaml").write_text(yaml.safe_dump(mapping))
    a, b = ([f"#{i}" for i in order[k : k + 4]] for k in (0, 1))
    variables = (
        json.dumps({"a": a, "b": b}).replace('"', "'").replace("'a'", "a").replace("'b'", "b")
    )
    cgrec(
        [
            "climb",
            *options,
            "~levels.l2",
            "~levels.l3",
            f"run={folder}",
            "--config-dir",
            str(out / "rules"),
            f"+mapping@levels.l1.mapping={name}",
            f"++levels.l1.dynamics.bias.variables={variables}",
            f"++levels.l1.variables={variables}",
            f"++levels.l1.refine={variables}",
        ]
    )


def chain(run: Path, path: Path) -> list[int] | None:
    """Sites of the rule in `path` from one end of their chain to the other."""
    import cgrec as package
    from cgrec.mapping import Parts

    mapping: Mapping = Parts(yaml.safe_load(path.read_text())["beads"])(
        package.load(run).levels[0].system
    )
    near = mapping.coarse.neighbours()
    ends = [k for k, around in enumerate(near) if len(around) == 1]
    if len(ends) != 2 or max(map(len, near)) > 2:
        return None
    order = [ends[0]]
    while len(order) < mapping.coarse.n_sites:
        order.append(next(k for k in near[order[-1]] if k not in order))
    return order


def row(folder: Path) -> dict:
    """What the ledger of level 1 says."""
    report = json.loads((folder / "level1" / "report.json").read_text())
    rows = {r["level"]: r for r in report["ledger"] if r["against"] == "parent"}
    excess = {
        ("forces" if "forces" in name else "refined"): [r["excess"], r["error"]]
        for name, r in rows.items()
    }
    return {"name": folder.name, **excess, "explained": report["explained_fraction"]}


if __name__ == "__main__":
    main()
