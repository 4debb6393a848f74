"""Tasks whose answers are known, put to the tools through a client of the protocol; some are traps.

Answers come from theory (the ideal chain, a spring) or from how the data were made.
"""

import json
import re
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager

import numpy as np
import pytest
import yaml
from exact_runs import BOND, D_ANION, D_CATION, DEVIATION, ENDS, KELVIN, MEAN, N

from cgrec import Frames
from cgrec.files import package_path

DROP = {"drop_bad_frames": True}
UNITS = {"length_unit": "nm", "force_unit": "kJ/mol/nm"}


def near(found, expected, sigmas=4.0):
    """Whether a quantity is what it should be, by its own error."""
    assert found["error"] is not None and found["error"] > 0, found
    return abs(found["value"] - expected) < sigmas * found["error"]


def finished(client, work, seconds=120.0):
    """The answer when the work has ended."""
    end = time.monotonic() + seconds
    while work["state"] == "running" and time.monotonic() < end:
        time.sleep(0.3)
        work = client("status", folder=work["folder"])
    return work


# Data


def test_1_the_forces_of_a_good_file_are_those_of_its_temperature(client, files):
    found = client("inspect", files=["good.npz"], variables=ENDS, reading=DROP)
    assert found["n_sites"] == N and found["holds"] == ["forces"] and found["box"] == []
    assert near(found["temperature_of_forces"], KELVIN) and found["verdict"] == "trust"


def test_2_trap_forces_in_kcal_per_mol_and_angstrom_read_as_kj_per_mol_and_nm(client, files):
    said = client("inspect", files=["kcal.npz"], reading={**UNITS, **DROP})
    assert "the forces are in kcal/mol/angstrom, not kJ/mol/nm" in said


def test_3_the_same_file_in_its_own_units(client, files):
    own = {**UNITS, "force_unit": "kcal/mol/angstrom", **DROP}
    assert near(client("inspect", files=["kcal.npz"], reading=own)["temperature_of_forces"], KELVIN)


def test_4_trap_too_few_frames(client, files):
    found = client("inspect", files=["few.npz"], variables=ENDS, reading={**UNITS, **DROP})
    assert found["verdict"] == "look"
    (reason,) = [r for r in found["reasons"] if r["rule"] == "parent_samples"]
    assert "independent frames" in reason["found"] and "sample level 0 longer" in reason["do"]
    assert found["independent_frames"]["ends"]["value"] <= 20


def test_5_trap_a_run_that_stood_still(client, files):
    found = client("inspect", files=["collapsed.npz"], variables=ENDS, reading=UNITS)
    assert found["verdict"] != "trust" and found["independent_frames"]["ends"]["value"] <= 1
    assert any("399 of 400 frames (99.8%) repeat earlier ones" in note for note in found["notes"])


def test_6_trap_a_chain_on_one_point(client, files):
    """Springs that short, with the forces of long ones, are those of no temperature near 300 K."""
    assert "imply" in client("inspect", files=["point.npz"], reading={**UNITS, **DROP})


def test_7_a_chain_is_halved_in_the_middle(client, runs):
    """The normalised cut of a path graph of five into two is of two and three."""
    found = client(
        "propose_map", run="runs/chain", n_sites=[2], method="normalised_cut", place="centre"
    )
    (best,) = found["proposals"]
    sizes = sorted(len(bead) for bead in best["beads"])
    assert sizes == [2, 3] and sorted(sum(best["beads"], [])) == [f"MOL:B{k}" for k in range(N)]
    assert best["scores"]["inner"]["error"] > 0
    rule = yaml.safe_load((client.root / found["chosen"]).read_text())
    assert rule["_target_"] == "cgrec.mapping.Parts"


# Before a climb


def experiment(client, name, beads):
    """A YAML for two molecules of two beads."""
    sites = {"_target_": "cgrec.mapping.Parts", "beads": beads}
    text = {
        "defaults": [{"/source": "file"}, {"/level@levels.l1": "gaussian"}],
        "source": {"path": "pairs.npz"},
        "levels": {"l1": {"mapping": sites}},
    }
    (client.root / name).write_text(yaml.safe_dump(text))
    return name


def test_8_an_experiment_says_what_its_levels_will_be(client):
    found = client("check", experiment="gaussian_chain", changes={"source.n_frames": 10})
    sites = {one["what"]: one["found"] for one in found["found"]}
    assert [sites[name].split()[0] for name in ("level 0", "l1", "l2", "l3")] == [
        "16",
        "8",
        "4",
        "2",
    ]


def test_9_trap_two_molecules_in_one_bead(client, files):
    name = experiment(client, "joined.yaml", [["#0", "#2"], ["#1"], ["#3"]])
    said = client("check", experiment=name)
    assert "levels.l1.mapping" in said and "expected atoms connected by bonds" in said


def test_10_trap_energies_of_a_pmf_as_labels(client):
    said = client(
        "climb", experiment="gaussian_chain", changes={"levels.l1.training.energy_weight": 1}
    )
    assert (
        "a PMF has no energy labels" in said and not (client.root / "runs/gaussian_chain").exists()
    )


def test_11_an_experiment_is_written_once(client):
    shutil.copy(package_path("package:alanine_dipeptide.pdb"), client.root / "ala.pdb")
    asked = {"files": ["ala.pdb"], "to": "ala.yaml", "timing": False}
    first = client("init", **asked)
    assert isinstance(first, dict), first
    assert yaml.safe_load(first["text"])["source"]["structure"].endswith("ala.pdb")
    assert "expected a file that is not there yet" in client("init", **asked)


def test_12_what_a_plan_cannot_know_it_does_not_invent(client):
    found = client("plan", experiment="gaussian_chain")
    assert [one["n_sites"] for one in found["levels"]] == [8, 4, 2]
    assert {one["fit"]["value"] for one in found["levels"]} == {None}
    assert "not read from files" in found["levels"][0]["fit"]["no_error"]


# A climb in the background

SMALL = {
    "source.n_frames": 300,
    "bins": 16,
    "threads": 1,
    "go_on": True,
    "levels.l1.training.steps": 20,
    "levels.l1.dynamics.n_replicas": 8,
    "levels.l1.dynamics.equilibration": 1,
    "levels.l1.dynamics.length": 8,
}
ALONE = ["levels.l2", "levels.l3"]


@pytest.fixture(scope="module")
def short(client):
    """A climb that is far too short, to its end."""
    words = {"experiment": "gaussian_chain", "without": ALONE, "run": "runs/short"}
    return finished(client, client("climb", changes=SMALL, wait=40, **words))


@pytest.mark.slow
def test_13_what_was_hardly_trained_is_not_to_be_trusted(client, short):
    assert short["state"] == "finished", short
    assert [one["state"] for one in short["levels"]] == ["done", "done"]
    found = client("verdict", run="runs/short", level=1)
    assert found["verdict"] != "trust" and found["reasons"]
    assert found["numbers"]["explained fraction of forces"]["error"] > 0


@pytest.mark.slow
def test_14_a_climb_goes_on_and_is_stopped_gently(client, short):
    """A longer run goes on where the shorter one ended."""
    longer = {**SMALL, "levels.l1.dynamics.length": 40000}
    words = {"experiment": "gaussian_chain", "without": ALONE, "run": "runs/short"}
    work = client("climb", changes=longer, wait=0, **words)
    while work["state"] == "running" and "run" not in work["step"]:
        time.sleep(0.2)
        work = client("status", folder="runs/short")
    assert "expected no work in it" in client("climb", changes=longer, wait=0, **words)
    stopped = finished(client, client("stop", folder="runs/short", wait=40))
    assert stopped["state"] == "stopped" and "SIGTERM" in stopped["said"], stopped
    assert "expected a process that works in it" in client("stop", folder="runs/short")


@contextmanager
def ended(command, folder):
    """A process that is gone after the block, whatever happens in it."""
    process = subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.slow
def test_14b_a_climb_of_a_terminal_or_of_a_server_before_is_known_and_stopped(client):
    """The server did not begin it: the lock of the run says who works there."""
    longer = {**SMALL, "levels.l1.dynamics.length": 40000}
    words = [f"{key}={value}" for key, value in longer.items()]
    words += ["experiment=gaussian_chain", "run=runs/terminal", *(f"~{one}" for one in ALONE)]
    command = [sys.executable, "-m", "cgrec", "climb", *words]
    with ended(command, client.root) as terminal:
        work, end = "", time.monotonic() + 100
        while isinstance(work, str) or "run" not in work["step"]:
            assert time.monotonic() < end and terminal.poll() is None, work
            time.sleep(0.2)
            work = client("status", folder="runs/terminal")
        again = client("climb", experiment="gaussian_chain", run="runs/terminal", wait=0)
        assert f"found process {terminal.pid}" in again, again
        assert "status(folder='runs/terminal')" in again and "stop(folder='runs/terminal')" in again
        calls = {
            "export": {"level": 1, "program": "xtc", "to": "x.xtc"},
            "properties": {"level": 1},
            "descend": {"begin": 1},
            "audit": {"level": 1},
        }
        for tool, given in calls.items():
            said = client(tool, run="runs/terminal", **given)
            assert "l1 is not finished, run, ledger to be done" in said, said
            assert "l1: run" in said and "cgrec status run=runs/terminal" in said, said
        found = client("verdict", run="runs/terminal", level=1)
        assert found["verdict"] == "not judged" == work["levels"][1]["verdict"]
        assert any("l1 is not finished" in note for note in found["notes"]), found
        stopped = client("stop", folder="runs/terminal", wait=40)
        assert stopped["state"] == "stopped" and "SIGTERM" in stopped["said"], stopped
        assert terminal.wait(20) == 128 + 15
    said = client("export", run="runs/terminal", **calls["export"])
    assert "nothing works on it (the climb is stopped)" in said, said


def test_14c_work_that_is_no_climb_is_known_after_the_server_too(client, runs):
    held = "import sys, time\nfrom cgrec.run.lock import only_here\n"
    held += "with only_here(sys.argv[1]):\n    print('here', flush=True)\n    time.sleep(60)\n"
    command = [sys.executable, "-c", held, str(runs / "long")]
    with ended(command, None) as other:
        assert other.stdout.readline() == b"here\n"
        work = client("status", folder="runs/long")
        assert work["state"] == "running" and str(other.pid) in work["said"]
        said = client("run", run="runs/chain", level=1, to="runs/long", length=60, wait=0)
        assert "expected no work in it" in said
        client("stop", folder="runs/long", wait=20)
        assert other.wait(20) != 0


# Finished levels


def test_15_an_exact_level_is_trusted_and_agrees_with_its_parent(client, runs):
    found = client("verdict", run="runs/chain", level=1)
    assert found["verdict"] == "trust" and found["reasons"] == []
    rows = client("ledger", run="runs/chain", level=1)["rows"]
    assert [row["against"] for row in rows] == ["parent", "level 0"]
    for row in rows:
        assert row["of"] == ["ends"] and near(row["difference"], 0.0)
        assert row["difference"]["verdict"] == "trust"


def test_16_the_ends_of_an_ideal_chain(client, runs):
    for sample in ("runs/chain/level0", "runs/chain/level1"):
        found = client("measure", sample=sample, variables=ENDS)
        assert near(found["means"]["ends"], MEAN) and near(found["deviations"]["ends"], DEVIATION)
        assert found["means"]["ends"]["unit"] == "nm"
        assert found["means"]["ends"]["verdict"] == "trust"


def test_17_two_levels_compared_by_their_sites(client, runs):
    rows = client(
        "compare", sample="runs/chain/level1", against="runs/chain/level0", variables=ENDS
    )["rows"]
    assert near(rows[0]["difference"], 0.0) and rows[0]["difference"]["verdict"] == "trust"


@pytest.mark.slow
def test_18_a_level_at_work_keeps_the_ensemble_of_its_spring(client, runs):
    work = client("run", run="runs/chain", level=1, to="runs/longer", length=60, wait=50)
    work = finished(client, work)
    assert work["state"] == "finished", work
    assert near(work["numbers"]["kinetic temperature"], KELVIN, 6)
    found = client("measure", sample="runs/longer", variables=ENDS)
    assert near(found["means"]["ends"], MEAN)


def test_19_trap_a_pmf_at_another_temperature(client, runs):
    said = client("run", run="runs/chain", level=1, to="runs/hot", temperature=400)
    assert "a PMF made at 300.0 K and the run is at 400.0 K" in said
    assert not (client.root / "runs/hot").exists()


def test_20_trap_a_pmf_at_another_density(client, runs):
    """The gas squeezed to an eighth of its volume."""
    gas = Frames.load(runs / "gas" / "level1" / "frames")
    dense = Frames(gas.system, gas.positions / 2, KELVIN, box=np.asarray(gas.box) / 2)
    dense.save(client.root / "dense")
    said = client("run", run="runs/gas", level=1, to="runs/dense", start="dense")
    assert "the potential is a PMF" in said and "train one at this density" in said


def test_21_trap_diffusion_of_a_level_without_friction(client, runs):
    found = client("properties", run="runs/gas", level=1)
    assert found["numbers"] == {}
    assert "cgrec friction run=" in found["unknown"]["diffusion coefficient"]


def test_22_trap_a_level_that_is_not_to_be_used_is_exported(client, runs):
    asked = {"run": "runs/bad", "level": 1, "program": "npz", "to": "bad.npz"}
    said = client("export", **asked)
    assert "'do not use'" in said and "refine the pairs" in said
    assert not (client.root / "bad.npz").exists()
    assert client("export", **asked, anyway=True)["verdict"] == "do not use"
    assert (client.root / "bad.npz").exists()


def test_23_an_exported_level_has_its_frames(client, runs):
    found = client("export", run="runs/chain", level=1, program="npz", to="ends.npz")
    assert found["verdict"] == "trust"
    assert np.load(client.root / "ends.npz")["positions"].shape == (3000, 2, 3)


@pytest.mark.slow
def test_24_atoms_come_back_and_are_judged(client, runs):
    asked = {"run": "runs/chain", "begin": 1, "frames": 100, "method": "template"}
    work = finished(client, client("descend", wait=50, **asked))
    assert work["state"] == "finished", work
    assert (runs / "chain/descent_1_0/atoms.pdb").exists()
    work = client("audit", run="runs/chain", level=1, frames=50, draws=4, steps=0, wait=50)
    work = finished(client, work)
    assert work["state"] == "finished" and work["numbers"], work


def test_25_what_an_ideal_salt_hands_to_larger_scales(client, runs):
    found = client("properties", run="runs/salt", level=1)["numbers"]
    assert np.isclose(found["diffusion coefficient Na"]["value"], 1e-6 * D_CATION)
    assert near(found["thermodynamic factor Na Cl"], 1.0)
    assert near(found["transference number Na"], D_CATION / (D_CATION + D_ANION))
    assert "on their own" in found["conductivity Nernst-Einstein"]["judged_by"]


# What no tool does


@pytest.mark.parametrize(
    ("tool", "arguments", "way"),
    [
        ("inspect", {"file": ["good.npz"]}, "expected arguments files, .* did you mean files?"),
        ("measure", {"sample": "x"}, "found no variables; give it"),
        ("verdict", {"run": "runs/chain", "level": "top"}, "expected level a valid integer|whole"),
        ("verdict", {"run": "runs/chain", "level": 7}, "expected level= one of 0, 1"),
        ("verdict", {"run": "runs/none", "level": 1}, "no such run"),
        ("verdict", {"run": "../chain", "level": 1}, "outside; copy it there, or start cgrec mcp"),
        ("inspect", {"files": ["/etc/passwd"]}, "which is outside"),
        ("climb", {"experiment": "--trust"}, "expected a name or the path of a YAML"),
        ("climb", {"experiment": "x", "changes": {"--trust": 1}}, "expected keys of the config"),
        ("climb", {"experiment": "gaussian_chain", "run": "/tmp/x"}, "which is outside"),
        ("check", {"experiment": "gausian_chain"}, "expected one of .*gaussian_chain"),
        (
            "check",
            {"experiment": "gaussian_chain", "changes": {"levels.l1.dynamics.lenght": 3}},
            "length",
        ),
        (
            "check",
            {"experiment": "alanine_dipeptide", "changes": {"source.python": "bin/python"}},
            "source.python",
        ),
        ("export", {"run": "runs/chain", "level": 1, "program": "x", "to": "y"}, "lammps, openmm"),
        ("run", {"run": "runs/chain", "level": 1, "to": "a", "wait": 600}, "0 to 50 s"),
        (
            "run",
            {"run": "runs/chain", "level": 1, "to": "a", "more": {"temperature": 9}},
            "timestep, ",
        ),
        ("status", {"folder": "nowhere"}, "expected the folder of a run"),
        ("fly", {}, "expected a tool, one of audit, .*found fly"),
    ],
)
def test_wrong_arguments_are_refused_with_the_way_out(client, runs, tool, arguments, way):
    said = client(tool, **arguments)
    assert isinstance(said, str) and re.search(way, said), said


def test_links_out_of_the_root_are_refused(client, runs, tmp_path):
    (client.root / "link").symlink_to(tmp_path)
    assert "outside" in client("measure", sample="link", variables=ENDS)
    assert "outside" in client("inspect", files=["lin*"])


def numbers_outside_quantities(answer, where=""):
    """Paths of numbers that are no counts and stand in no quantity."""
    if isinstance(answer, dict) and {"value", "error", "verdict"} <= set(answer):
        assert answer["error"] is not None or answer["no_error"], where
        assert answer["verdict"] in ("trust", "look", "do not use", "not judged"), where
        assert answer["judged_by"] and (answer["unit"] or answer["value"] is None), where
    elif isinstance(answer, dict):
        for key, one in answer.items():
            yield from numbers_outside_quantities(one, f"{where}.{key}")
    elif isinstance(answer, list):
        for one in answer:
            yield from numbers_outside_quantities(one, where)
    elif isinstance(answer, float):
        yield where


def test_no_number_comes_without_error_and_verdict(client, runs, files):
    client("ledger", run="runs/chain", level=1)
    client("measure", sample="runs/chain/level1", variables=ENDS)
    client("inspect", files=["good.npz"], variables=ENDS, reading=DROP)
    for answer in client.called:
        assert not list(numbers_outside_quantities(answer))
    assert list(numbers_outside_quantities({"a": [{"b": 0.5}]})) == [".a.b"]


def test_every_tool_says_what_it_takes_and_gives(client):
    wanted = """inspect propose_map init check climb status stop verdict ledger run descend audit compare
    export plan measure friction properties"""
    tools = client.tools()
    assert sorted(tool.name for tool in tools) == sorted(wanted.split())
    for tool in tools:
        assert tool.output_schema and tool.description.endswith("."), tool.name
        assert tool.input_schema["additionalProperties"] is False
        for name, about in tool.input_schema["properties"].items():
            assert about.get("description"), f"{tool.name}: {name}"
        waits = tool.input_schema["properties"].get("wait")
        assert waits is None or (waits["maximum"] == 50 and "50 at most" in tool.description)


def test_the_ideal_chain_of_these_tests():
    """MEAN and DEVIATION are those of a vector of three normal components with <r^2> = 4 bond^2."""
    r = np.linalg.norm(np.random.default_rng(0).normal(size=(200000, 3)), axis=1)
    r *= 2 * BOND / np.sqrt(3)
    assert np.isclose(r.mean(), MEAN, rtol=0.01) and np.isclose(r.std(), DEVIATION, rtol=0.01)


@pytest.mark.slow
def test_nothing_but_the_protocol_is_on_stdout(tmp_path):
    pytest.importorskip("mcp")
    done = subprocess.run(
        [sys.executable, "-m", "cgrec", "mcp", f"root={tmp_path}"],
        input="no protocol\n",
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    for line in done.stdout.splitlines():
        assert json.loads(line)["jsonrpc"] == "2.0"
    lost = subprocess.run(
        [sys.executable, "-m", "cgrec", "mcp", f"root={tmp_path}/none"],
        capture_output=True,
        text=True,
    )
    assert lost.returncode == 1 and "expected root= a folder" in lost.stderr and not lost.stdout
