"""A .pt file from anybody: refused in words, quickly, before anything large is built, and nothing
in it is run.
"""

import resource
import sys
from importlib import import_module

import numpy as np
import pytest
import torch

import cgrec
import cgrec.report
from cgrec.cli import main
from cgrec.potential import (
    DensityNetwork,
    MetadynamicsBias,
    Potential,
    ScreenedCoulomb,
    UF3Potential,
)
from cgrec.run.digests import note

NETWORK = DensityNetwork(types=["A", "B"], cutoff=0.6, channels=8, width=16, n_layers=1)
SPLINES = UF3Potential(types=["A"], cutoff=0.6, spacing=0.1)
COULOMB = ScreenedCoulomb(types=["A", "B"], charges=[1.0, -1.0], permittivity=78.0)
BIAS = MetadynamicsBias(types=["A"], variables={"phi": ["#0", "#1", "#2", "#3"]}, temperature=300.0)


def changed(potential, **config):
    state = potential.to_state()
    return {**state, "config": {**state["config"], **config}}


#: (state, what the refusal names).
HOSTILE = [
    (changed(NETWORK, channels=10**8), "channels|sizes|100000000"),
    (changed(NETWORK, channels=9999), "embedding"),
    (changed(NETWORK, width=9998), "layers.0.second"),
    (changed(NETWORK, n_layers=5000), "layers.1.radial"),
    (changed(NETWORK, n_radial=4000), "layers.0.radial"),
    (changed(NETWORK, l_max=900), "layers.0.radial"),
    (changed(NETWORK, l_max="2; rm -rf /"), "rm -rf"),
    (changed(NETWORK, l_max=-1), "DensityNetwork"),
    (changed(NETWORK, cutoff=float("nan")), "cutoff"),
    (changed(NETWORK, types=["A"] * 3), "embedding"),
    (changed(NETWORK, surprise=1), "surprise"),
    ({**NETWORK.to_state(), "state": {}}, "embedding"),
    ({**NETWORK.to_state(), "class": "os.system"}, "os.system"),
    ({"config": {}}, "class"),
    ([1, 2], "class"),
    (changed(SPLINES, spacing=1e-12), "spacing"),
    (changed(SPLINES, spacing=0.0), "spacing"),
    (changed(SPLINES, cutoff=float("inf")), "cutoff"),
    (changed(SPLINES, spacing=0.05), "UF3Potential"),
    (changed(BIAS, points=10**7), "points"),
    (changed(BIAS, points=37), "MetadynamicsBias"),
    (changed(COULOMB, charges=[1.0]), "charges"),
    (
        (NETWORK + COULOMB).to_state() | {"config": {"states": [changed(NETWORK, channels=10**8)]}},
        "channels|sizes",
    ),
]


@pytest.mark.parametrize("state, thing", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_potential_is_refused_before_it_takes_memory(state, thing, tmp_path):
    path = tmp_path / "potential.pt"
    torch.save(state, path)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # kB
    with pytest.raises(ValueError, match=rf"potential\.pt is not a readable potential.*({thing})"):
        Potential.load(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000


def test_what_was_saved_is_the_same(tmp_path):
    for k, potential in enumerate([NETWORK, SPLINES, COULOMB, BIAS, NETWORK + COULOMB]):
        potential.save(tmp_path / f"{k}.pt")
        again = Potential.load(tmp_path / f"{k}.pt")
        assert again.config == potential.config and all(
            torch.equal(a, b)
            for a, b in zip(again.state_dict().values(), potential.state_dict().values())
        )


class Evil:
    """Runs when it is unpickled."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return (open, (str(self.mark), "w"))


@pytest.mark.parametrize(
    "name", ["potential.pt", "refined.pt", "backmapper.pt", "distilled.pt", "bias.pt"]
)
def test_a_pickle_in_a_pt_is_not_run(name, tmp_path):
    torch.save(
        {"class": "DensityNetwork", "config": Evil(tmp_path / "OWNED"), "state": {}},
        tmp_path / name,
    )
    with pytest.raises(ValueError, match="is not a readable potential"):
        Potential.load(tmp_path / name)
    assert not (tmp_path / "OWNED").exists()


@pytest.mark.slow
def test_loading_and_reporting_a_run_executes_nothing(tmp_path):
    """An audit hook watches everything a run folder from a stranger could start."""
    run, mark = tmp_path / "run", tmp_path / "OWNED"
    command = [
        "go_on=true",
        "experiment=gaussian_chain",
        "~levels.l2",
        "~levels.l3",
        "source.n_frames=60",
    ]
    command += [
        "levels.l1.training.steps=2",
        "levels.l1.dynamics.n_replicas=2",
        "levels.l1.dynamics.length=8",
    ]
    main(["climb", *command, f"run={run}"])
    (run / "config.yaml").write_text(
        f"source: !!python/object/apply:os.system ['touch {mark}']\n_target_: os.system\n"
    )
    note(run / "config.yaml")  # as a stranger would, who sends a folder that agrees with itself
    np.save(run / "level1" / "extra.npy", np.array([Evil(mark)], dtype=object), allow_pickle=True)
    seen, watching = [], [True]

    def hook(event, arguments):
        starts = event in (
            "subprocess.Popen",
            "os.system",
            "os.exec",
            "os.posix_spawn",
            "pickle.find_class",
            "exec",
        )
        if watching[0] and starts and "importlib" not in str(arguments):
            seen.append((event, str(arguments)[:200]))

    cgrec.report.write_report(run)
    import_module("cgrec.package")  # our own code, which `load` imports at its first use
    sys.addaudithook(hook)
    try:
        chain = cgrec.load(run)
        for level in chain.levels:
            level.frames.positions.sum()
        chain.levels[1].potential, chain.levels[1].mapping, chain.levels[1].report
        cgrec.report.write_report(run)
    finally:
        watching[0] = False
    foreign = [e for e in seen if not (e[0] == "exec" and "cgrec" not in e[1])]
    assert not [e for e in foreign if e[0] != "pickle.find_class" or "torch" not in e[1]], foreign
    assert not mark.exists()
