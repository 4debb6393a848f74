import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from contracts import mirrored, random_frames, small_system

from cgrec import Frames, Potential, System
from cgrec.cli import main
from cgrec.corrections.distillation import (
    distil,
    fit_splines,
    labelled,
    parts_of,
    split,
    torsion_series,
)
from cgrec.potential import DihedralSeries, ExcludedVolume, HarmonicPrior, UF3Potential, fit_priors
from cgrec.potential.network import smooth_cutoff
from cgrec.potential.uf3 import near_triples

TYPES = ["A", "B"]


class LennardJones(Potential):
    """4 e ((s / r)^12 - (s / r)^6), smoothed to zero at the cutoff, s and e by type."""

    def __init__(self, *, types, cutoff):
        super().__init__(types=types, cutoff=cutoff)
        self.register_buffer(
            "size", torch.tensor([0.28, 0.25], dtype=torch.float64), persistent=False
        )

    def energy(self, graph):
        r = graph.neighbour_vectors().norm(dim=-1)
        size = self.size[graph.species]
        ratio = 0.5 * (size[:, None] + size[graph.neighbour_index]) / r
        pair = 8.0 * (ratio**12 - ratio**6) * smooth_cutoff(r / self.cutoff)
        return 0.5 * graph.per_frame(pair.sum(1)).sum(1)


class StillingerWeber(Potential):
    """Three-body term of F. H. Stillinger, T. A. Weber, Phys. Rev. B 31, 5262 (1985), stronger
    about type A.
    """

    def energy(self, graph):
        vectors = graph.neighbour_vectors()
        r = vectors.norm(dim=-1)
        site, j, k = near_triples(r, self.cutoff)
        a, b = vectors[site, j], vectors[site, k]
        cosine = (a * b).sum(-1) / (r[site, j] * r[site, k])
        decay = sum(0.1 / (r[site, slot] - self.cutoff) for slot in (j, k))
        triple = (
            torch.tensor([60.0, 20.0])[graph.species[site]]
            * (cosine + 1 / 3) ** 2
            * torch.exp(decay)
        )
        return graph.per_frame(r.new_zeros(len(r)).index_add(0, site, triple)).sum(1)


def fluid(n_frames=24, seed=0, n=40, side=1.2, closest=0.25):
    """Sites put down at random, none closer to another than `closest`: all distances and angles
    occur.
    """
    rng = np.random.default_rng(seed)
    positions = np.zeros((n_frames, n, 3))
    for frame in positions:
        for k in range(n):
            while True:
                frame[k] = rng.uniform(0, side, 3)
                away = frame[:k] - frame[k]
                if (np.linalg.norm(away - side * np.round(away / side), axis=1) > closest).all():
                    break
    system = System(names=tuple("AB" * (n // 2)), masses=np.full(n, 20.0))
    return Frames(system, positions, 300.0, box=np.eye(3) * side)


def teacher():
    return LennardJones(types=TYPES, cutoff=0.6) + StillingerWeber(types=TYPES, cutoff=0.42)


def test_known_pair_and_three_body_energies_are_recovered():
    made, report = distil(teacher(), fluid(60), three_cutoff=0.42, three_spacing=0.04, disturbed=0)
    assert report.kept == () and report.replaced == ("LennardJones", "StillingerWeber")
    assert report.explained_fraction > 0.995
    assert report.energy_error < 0.03 * report.energy_spread
    assert made.temperature is None


def test_two_bodies_are_not_enough_for_that():
    report = distil(teacher(), fluid(), three_cutoff=0, n_frames=19, n_held_out=5, disturbed=0)[1]
    assert report.explained_fraction < 0.9 and report.three_cutoff == 0


def test_a_pair_potential_is_recovered_as_a_function_of_distance():
    potential = LennardJones(types=TYPES, cutoff=0.6)
    splines = UF3Potential(types=TYPES, cutoff=0.6, spacing=0.02)
    fit_splines(splines, [labelled(potential, fluid(12))])
    r = np.linspace(0.25, 0.59, 60)
    positions = np.zeros((60, 2, 3))
    positions[:, 1, 0] = r
    pair = Frames(System(names=("A", "B"), masses=[1, 1]), positions, 300.0)
    (energy, force), (wanted, wanted_force) = (
        p.energy_and_forces(pair) for p in (splines, potential)
    )
    np.testing.assert_allclose(energy, wanted, atol=0.02)
    np.testing.assert_allclose(force, wanted_force, atol=2 + 0.01 * np.abs(wanted_force).max())


def test_the_core_repels_where_there_are_no_data():
    made, _ = distil(teacher(), fluid(), three_cutoff=0, n_frames=19, n_held_out=5)
    positions = np.zeros((60, 2, 3))
    positions[:, 1, 0] = np.linspace(0.005, 0.2, 60)
    for names in ("AA", "AB", "BB"):
        pair = Frames(System(names=tuple(names), masses=[1, 1]), positions, 300.0)
        energy, force = made.energy_and_forces(pair)
        assert (np.diff(energy) < 0).all() and (force[:, 1, 0] > 0).all()
        assert energy[0] > 100


def test_bonded_priors_are_kept_and_the_wall_goes():
    frames = random_frames(200)
    priors = fit_priors(frames, types=["A", "B", "C"], cutoff=0.5)
    network = UF3Potential(types=["A", "B", "C"], cutoff=0.5)
    network.coefficients.data += 3 * torch.rand(len(network.coefficients), dtype=torch.float64)
    whole = sum(priors[1:], priors[0]) + network
    whole.temperature = 300.0
    made, report = distil(whole, frames, three_cutoff=0, n_frames=100)
    assert report.kept == ("HarmonicPrior", "HarmonicPrior")
    assert report.replaced == ("ExcludedVolume", "UF3Potential")
    for old, new in zip(priors, made.parts[:2]):
        assert new.config == old.config
    assert made.temperature == 300.0 and isinstance(priors[2], ExcludedVolume)
    assert report.explained_fraction_of_all > report.explained_fraction


class Handed(Potential):
    """A dihedral energy that counts as a neighbour potential, as that of a network does."""

    def __init__(self, *, types, cutoff):
        super().__init__(types=types, cutoff=cutoff)
        self.series = DihedralSeries(
            types=types,
            n_sites=6,
            sites=[[0, 1, 2, 3], [1, 2, 3, 4]],
            orders=[[1, 0], [1, -1], [2, 1]],
            cosine=[3.0, 2.0, 1.0],
            sine=[4.0, -1.0, 2.0],
        )

    def energy(self, graph):
        return self.series.energy(graph)


def test_handedness_and_coupled_dihedrals_survive_in_torsion_terms():
    frames = random_frames(400)
    frames = replace(
        frames,
        positions=frames.positions + np.random.default_rng(5).normal(scale=0.03, size=(6, 3)),
    )
    options = {"three_cutoff": 0, "n_frames": 300}
    made, report = distil(Handed(types=["A", "B", "C"], cutoff=0.5), frames, **options)
    assert report.explained_fraction > 0.99 and report.n_torsion_terms == 24
    energy, mirror = (made.energy_and_forces(f)[0] for f in (frames, mirrored(frames)))
    assert np.median(np.abs(energy - mirror)) > 1
    without = distil(Handed(types=["A", "B", "C"], cutoff=0.5), frames, torsions=0, **options)[1]
    assert without.n_torsion_terms == 0 and without.explained_fraction < 0.9


def test_torsions_of_a_ring_or_of_many_molecules_are_left_alone():
    potential = Handed(types=["A", "B", "C"], cutoff=0.5)
    ring = System(
        names=tuple("ABCABC"), masses=np.ones(6), bonds=[(k, (k + 1) % 6) for k in range(6)]
    )
    assert torsion_series(potential, ring, 3) == []
    assert torsion_series(potential, System(names=tuple("ABCABC"), masses=np.ones(6)), 3) == []
    assert [len(s.sites) for s in torsion_series(potential, small_system(), 3)] == [2]
    assert [len(s.sites) for s in torsion_series(potential, small_system(4), 3)] == [1]


def test_nothing_to_replace_is_said():
    bonds = HarmonicPrior.fit(random_frames(20), ["A", "B", "C"], 2)
    with pytest.raises(ValueError, match="neighbour part.*HarmonicPrior"):
        parts_of(bonds)


def test_more_coefficients_than_can_be_solved_for_are_refused_unless_the_spacing_is_free(
    monkeypatch,
):
    monkeypatch.setattr("cgrec.corrections.distillation.MOST_COEFFICIENTS", 600)
    options = {"three_cutoff": 0.42, "n_frames": 10, "n_held_out": 2, "disturbed": 0}
    with pytest.raises(ValueError, match="at most 600.*three_spacing"):
        distil(teacher(), fluid(), three_spacing=0.05, **options)
    assert distil(teacher(), fluid(), **options)[1].three_spacing > 0.05


def test_held_out_frames_come_from_other_replicas():
    frames = replace(random_frames(60), replicas=np.repeat(np.arange(20), 3))
    fit, out = split(frames, 1000, 1000)
    assert not set(fit.replicas) & set(out.replicas) and len(fit) + len(out) == 60
    with pytest.raises(ValueError, match="at least 2 frames"):
        split(frames[:1], 1, 1)


@pytest.fixture
def run(tmp_path):
    """A run with one level above the atoms, as far as `distil` looks."""
    level = tmp_path / "run" / "level1"
    level.mkdir(parents=True)
    (tmp_path / "run" / "level0").mkdir()
    fluid().save(level / "frames")
    LennardJones(types=TYPES, cutoff=0.5).save(level / "potential.pt")
    return tmp_path / "run"


def test_command_distils_once(run, capsys):
    command = [
        "distil",
        f"run={run}",
        "level=1",
        "n_frames=8",
        "n_held_out=4",
        "three_cutoff=0",
        "disturbed=0",
    ]
    main(command)
    said = capsys.readouterr().out
    assert "LennardJones -> UF3Potential" in said and "4 held-out frames" in said
    report = json.loads((run / "level1" / "distilled.json").read_text())
    assert report["explained_fraction"] > 0.999 and report["options"]["n_frames"] == 8
    made = Potential.load(run / "level1" / "distilled.pt")
    assert isinstance(made, UF3Potential) and made.cutoff == 0.5
    with pytest.raises(SystemExit, match="distilled.pt exists already: remove it"):
        main(command)


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["level=1", "cutof=0.5"], "unknown: cutof=0.5"),
        (["level=1", "cutoff"], "unknown: cutoff"),
        ([], "missing: level="),
        (["level=4"], "level= one of 0, 1 in .*found 4"),
        (["level=1", "cutoff=far"], "cutoff= a number, found 'far'"),
        (["level=1", "cutoff=2"], "1.200 nm wide"),
        (["level=1", "n_held_out=0"], "n_held_out a whole number of at least 1, found 0"),
        (["level=1", "n_frames=10.5"], "n_frames= a whole number, found '10.5'"),
    ],
)
def test_command_refuses_with_a_reason(run, arguments, said):
    with pytest.raises(SystemExit, match=said):
        main(["distil", f"run={run}", *arguments])
    assert not (run / "level1" / "distilled.pt").exists()


def test_a_level_without_a_potential_is_named(run):
    (run / "level1" / "potential.pt").unlink()
    with pytest.raises(SystemExit, match="level1 holds no potential"):
        main(["distil", f"run={run}", "level=1"])
