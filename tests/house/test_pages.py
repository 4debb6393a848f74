"""Every command of README.md and of the pages is given as it stands there, with what makes it small."""

import re
import shlex
import shutil
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from samples import TINY

from cgrec import Frames, System
from cgrec.cli import composed, main
from cgrec.io import read, write
from cgrec.units import thermal_energy

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "cgrec" / "docs").glob("*.md"))]
KT = thermal_energy(300.0)

QUICK = {
    "training": ("steps=150", "validate_every=50", "batch_size=32"),
    "dynamics": (
        "n_replicas=4",
        "length=0.1",
        "save_every=0.01",
        "equilibration=0.01",
        "timestep=0.0005",
    ),
}
SOURCE = [
    "source.check_labels=0",
    *(
        f"source.dynamics.{option}"
        for option in ("n_replicas=32", "length=2", "equilibration=0.3", "bias.growth=0.5")
    ),
]
BIAS = ("growth=0.02", "height=0.05")


def small(*levels, biased=()):
    """What makes a climb of these levels a matter of seconds: it is there, not to be believed."""
    words = ["go_on=true", "control=false", "bins=8", "threads=1"]
    for level in levels:
        for part, options in QUICK.items():
            words += [f"++levels.{level}.{part}.{option}" for option in options]
    return words + [f"++levels.{level}.dynamics.bias.{o}" for level in biased for o in BIAS]


#: The climb that is gone down again. With the 40 frames a level of `small` it is luck whether its
#: models hold: of three seeds none came down whole, with these four of four.
LARGER = [
    f"++levels.{level}.{option}"
    for level in ("l1", "l2", "l3")
    for option in ("dynamics.n_replicas=32", "dynamics.length=0.2", "training.steps=400")
]
ALANINE = [*small("l1", "l2", "l3", biased=("l1", "l2")), *LARGER, *SOURCE]
ONE_LEVEL = [*small("l1", biased=("l1",)), *SOURCE, "~levels.l2", "~levels.l3"]
CHAIN = ["experiment=gaussian_chain", "source.n_frames=60", *(f"~levels.l{k}" for k in (1, 2, 3))]
#: {a command of a page: what a test adds}; those that need a run come after the one that makes it.
COMMANDS = {
    "cgrec --help": [],
    "cgrec climb": ALANINE,
    "cgrec climb experiment=gaussian_chain": TINY[1:],
    "cgrec climb experiment=alanine_dipeptide_full": ONE_LEVEL,
    "cgrec climb experiment=five_beads source.path=ala2_coordinates.npy "
    "source.forces_path=ala2_forces.npy": small("l1", biased=("l1",)),
    "cgrec climb experiment=water": small("l1"),
    "cgrec climb experiment=water_spce source.path=water.npz": [
        *small("l1"),
        "source.temperature=300",
    ],
    "cgrec climb experiment=nacl source.path=ions.npz": [*small("l1"), "source.temperature=300"],
    "cgrec climb experiment=licl source.path=licl.xyz": [*small("l1"), "source.temperature=300"],
    "cgrec friction run=runs/nacl level=1 interval=0.25": [],
    "cgrec handover run=runs/nacl level=1 to=yaml": [],
    "cgrec handover run=runs/nacl level=1 to=pybamm": [],
    "cgrec handover run=runs/nacl level=1 to=pde file=nacl_pnp.py": [],
    "cgrec handover run=runs/nacl_1m level=1 to=phreeqc others=runs/nacl_2m,runs/nacl_4m "
    "molality=1.02,2.09,4.38": [],
    "cgrec descend run=runs/alanine_dipeptide from=3 to=0": [
        "method=library",
        "frames=8",
        "rounds=1",
    ],
    "cgrec analyse-backmapping run=runs/alanine_dipeptide level=1": [
        "frames=8",
        "draws=2",
        "steps=2",
        "audited=4",
        "audit_draws=4",
    ],
    "cgrec backmap ca.pdb": [],
    "cgrec backmap ca.pdb to=relaxed.pdb force_field=amber14-all.xml,implicit/gbn2.xml": [],
    "cgrec backmap ca.xtc topology=ca.pdb to=atoms.xtc copies=5": [],
    "cgrec climb source.potential=null run=runs/from_qm": [
        "--cfg",  # composed only: tests/sources/test_quantum.py learns from quantum chemistry
        "job",
    ],
    "cgrec climb levels.l1.potential.cutoff=0.7 run=runs/short": ONE_LEVEL,
    "cgrec climb --cfg job": [],
    "cgrec keys levels.l1.dynamics": [],
    "cgrec keys Exchange": [],
    "cgrec completion bash >> ~/.bash_completion": [],
    "cgrec climb --config-dir my_conf experiment=mine": ONE_LEVEL,
    "cgrec status run=runs/alanine_dipeptide": [],
    "cgrec report run=runs/alanine_dipeptide": [],
    "cgrec climb --multirun seed=1,2 'run=runs/seed_${seed}' hydra/launcher=joblib": CHAIN,
    "cgrec export xtc run=runs/alanine_dipeptide level=2 to=beads.xtc": [],
    "cgrec run run=runs/alanine_dipeptide level=2 length=1 to=longer": ["seed=1"],
    "cgrec package run=runs/alanine_dipeptide to=ala2.cgrec": [],
    "cgrec distil run=runs/alanine_dipeptide level=2": [
        "n_frames=20",
        "n_held_out=5",
        "three_cutoff=0",
    ],
    "cgrec export lammps run=runs/alanine_dipeptide level=2 to=lammps_l2": [],
    "cgrec export openmm run=runs/alanine_dipeptide level=2 to=openmm_l2": [],
    "cgrec export ipi run=runs/alanine_dipeptide level=2 to=ipi_l2": [],
    "cgrec export torch_sim run=runs/alanine_dipeptide level=2 to=torch_sim_l2": [],
    "cgrec climb experiment=gaussian_chain run=runs/on_cluster submit=slurm slurm.partition=cpu "
    "slurm.time=240 slurm.replicas=64": [
        "--cfg",  # composed only: tests/cluster climbs by jobs
        "job",
    ],
    "cgrec map run=runs/alanine_dipeptide level=0 n_sites=10,5,2": [],
    "cgrec map system=protein.pdb n_sites=10 to=maps_protein": [],
    "cgrec climb --config-dir maps +mapping@levels.l1.mapping=chosen run=runs/mine": ONE_LEVEL,
    "cgrec climb --config-dir my_conf --config-dir maps experiment=mine "
    "+mapping@levels.l1.mapping=chosen": [*ONE_LEVEL, "run=runs/mine_chosen"],
}
#: Those of a reader's own system, in this order.
OWN = {
    "cgrec init run.trr system.pdb temperature=300": [],
    "cgrec check mine.yaml": [],
    "cgrec climb mine.yaml": [*small("l1", "l2"), "bins=8"],
    "cgrec export xtc run=runs/mine level=1 to=mine.xtc": [],
}

#: What a command says where files this small are not enough for it.
REFUSED = {
    "cgrec friction run=runs/nacl level=1 interval=0.25": "expected frames of the parent in which",
    "cgrec handover run=runs/nacl level=1 to=yaml": "expected a level to be used",
    "cgrec handover run=runs/nacl level=1 to=pybamm": "expected ",
    "cgrec handover run=runs/nacl level=1 to=pde file=nacl_pnp.py": "expected a level to be used",
    "cgrec handover run=runs/nacl_1m level=1 to=phreeqc others=runs/nacl_2m,runs/nacl_4m "
    "molality=1.02,2.09,4.38": "no such run",
}


def given():
    """The commands of all pages, without their comments."""
    for page in PAGES:
        for block in re.findall(r"```bash\n(.*?)```", page.read_text(), re.DOTALL):
            for line in block.splitlines():
                if line.startswith("cgrec "):
                    yield re.split(r"\s+#", line)[0].strip()


def test_every_command_of_a_page_is_tried():
    assert set(given()) == set(COMMANDS) | set(OWN)


def sprung(rest, n, spring, seed):
    """(n, sites, 3) positions and forces of sites each on a spring to its place, at 300 K."""
    moved = np.random.default_rng(seed).normal(0, np.sqrt(KT / spring), (n, *rest.shape))
    moved -= moved.mean(1, keepdims=True)
    return rest + moved, -spring * moved


def grid(n, edge):
    """n places of a cubic lattice in a box of this edge, nm."""
    side = int(np.ceil(n ** (1 / 3)))
    places = np.stack(np.meshgrid(*3 * [np.arange(side)], indexing="ij"), -1).reshape(-1, 3)[:n]
    return places * edge / side + 0.1


def write_inputs():
    """What the pages expect of their reader: files that no experiment ships."""
    beads = np.array([[0.0, 0, 0], [1.2, 0.6, 0], [2.5, 0, 0.3], [3.7, 0.8, -0.2], [4.8, 0.1, 0.4]])
    x, force = sprung(beads / 10, 400, 40000.0, 1)
    np.save("ala2_coordinates.npy", 10 * x)  # angstrom
    np.save("ala2_forces.npy", force / 41.84)  # kcal/mol/angstrom
    x, force = sprung(grid(16, 2.4), 60, 500.0, 2)
    box = np.full((60, 3), 2.4)
    ions = np.array(["Na", "Cl"] * 8)
    np.savez("ions.npz", positions=x, forces=force, box=box, species=ions)
    x, force = sprung(grid(64, 1.3), 60, 500.0, 3)
    np.savez("water.npz", positions=x, forces=force, box=np.full((60, 3), 1.3))
    write(lithium_chloride(), "licl.extxyz").rename("licl.xyz")
    shutil.copy(ROOT / "tests" / "data" / "disulphide.pdb", "protein.pdb")
    peptide = ROOT / "cgrec" / "data" / "peptides" / "cln025.pdb"
    trace = read(peptide, temperature=300.0, selection="name CA")
    write(trace, "ca.pdb")
    write(trace, "ca.xtc")
    Path("my_conf/experiment").mkdir(parents=True)
    lines = ["# @package _global_", "defaults: [alanine_dipeptide, _self_]", "name: my_own"]
    Path("my_conf/experiment/mine.yaml").write_text("\n".join(lines))


def lithium_chloride():
    """Four ions of each kind and eight waters."""
    atoms = ("Li", "Cl") * 4 + ("O", "H", "H") * 8
    water = np.array([[0.0, 0, 0], [0.0957, 0, 0], [-0.024, 0.0927, 0]])
    places = grid(16, 2.4)
    rest = np.concatenate([places[:8], *(place + water for place in places[8:])])
    x, force = sprung(rest, 60, 50000.0, 4)
    masses = [{"Li": 6.94, "Cl": 35.45, "O": 15.999, "H": 1.008}[a] for a in atoms]
    system = System(names=atoms, masses=masses, elements=atoms)
    return Frames(system, x, 300.0, forces=force, box=2.4 * np.eye(3))


@pytest.mark.slow
def test_commands_of_the_pages_run(tmp_path, monkeypatch, capsys):
    """Five minutes; in the order of `COMMANDS`, in one folder as a reader would."""
    monkeypatch.chdir(tmp_path)
    write_inputs()
    for command, more in COMMANDS.items():
        words = shlex.split(command.partition(" >>")[0])[1:]
        refused = REFUSED.get(command)
        try:
            main([*words, *more])
        except SystemExit as stop:
            told = refused and refused in str(stop.code)
            assert told or stop.code in (None, 0), f"{command}: {stop}"
    said = capsys.readouterr().out
    assert "climb" in said and Path("lammps_l2/run.in").exists() and Path("beads.pdb").exists()
    for run in ("alanine_dipeptide", "gaussian_chain", "five_beads", "water", "nacl", "licl"):
        assert Path(f"runs/{run}/report.html").exists()
    assert composed(["run=runs/short"]).run == "runs/short"


@pytest.mark.slow
def test_own_system_and_python_of_the_readme(tmp_path, monkeypatch):
    """A minute: from files to beads by the commands, then the lines of Python, in one folder."""
    pytest.importorskip("openmm")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(ROOT / "scripts" / "tutorials"))
    import_module("make_data").alkanes(".", (12,), 60, name="system", side=3, temperature=300.0)
    Path("system.trr").rename("run.trr")
    for command, more in OWN.items():
        main([*shlex.split(command)[1:], *more])
    (block,) = re.findall(r"```python\n(.*?)```", PAGES[0].read_text(), re.DOTALL)
    found: dict = {}
    exec(block, found)
    assert found["forces"].shape == found["level"].frames.positions[:100].shape
    for made in ("mine.xtc", "mine.pdb", "beads.xtc", "again.yaml", "runs/mine/report.html"):
        assert Path(made).exists(), made
