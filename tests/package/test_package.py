"""One file that holds a chain: what goes in comes out, what was changed is refused by name."""

import html.parser
import json
import pickletools
import re
import shutil
import warnings
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import cgrec
from cgrec.cli import main
from cgrec.dynamics import FeatureGuard
from cgrec.dynamics.guard_file import load_guard
from cgrec.package import Damaged, Package, open_package, pack


@pytest.fixture
def packed(run, tmp_path):
    return pack(run, tmp_path / "model.cgrec", frames=50, license="MIT")


def rewritten(path, to, **changed):
    """A copy of a package with other bytes of some files, None for none."""
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(to, "w") as new:
        for name in old.namelist():
            data = changed.pop(name, old.read(name))
            if data is not None:
                new.writestr(name, data)
        for name, data in changed.items():
            new.writestr(name, data)
    return to


def test_levels_are_those_of_the_run(packed, run):
    package, chain = cgrec.load(packed), cgrec.load(run)
    assert isinstance(package, Package) and [e.name for e in package.levels] == ["atoms", "beads"]
    frames = chain.levels[1].frames
    for ours, theirs in zip(
        package.level(1).potential.energy_and_forces(frames),
        chain.levels[1].potential.energy_and_forces(frames),
    ):
        np.testing.assert_array_equal(ours, theirs)
    assert package.level(1).potential.temperature == 300.0
    atoms = chain.levels[0].frames
    np.testing.assert_array_equal(
        package.level(1).mapping(atoms).positions, chain.levels[1].mapping(atoms).positions
    )
    assert len(package.level(1).frames) == 50 and len(frames) == 300
    assert package.level(0).system.agrees_with(atoms.system)


def test_the_guard_scores_as_the_one_of_the_run(packed, run):
    ours, theirs = cgrec.load(packed).level(1).guard, cgrec.load(run).levels[1].guard
    assert isinstance(ours, FeatureGuard)
    level = cgrec.load(run).levels[1]
    graph = level.potential.graph(level.frames[:40])
    np.testing.assert_allclose(ours.score(graph), theirs.score(graph), rtol=1e-9)


def test_ase_says_when_a_configuration_lies_outside(packed):
    from cgrec.export.ase import atoms_of

    level = cgrec.load(packed).level(1)
    atoms = atoms_of(level.frames)
    atoms.calc = level.calculator()
    atoms.get_potential_energy()
    assert 0 < atoms.calc.results["extrapolation"] < 1
    atoms.positions[0] += 3.0  # angstrom: bonds vary by a tenth of that
    with pytest.warns(cgrec.remarks.Remark, match="lies outside of what the potential was trained"):
        atoms.get_potential_energy()
    assert atoms.calc.results["extrapolation"] > 1
    atoms.positions[0] += 1.0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        atoms.get_potential_energy()  # it is said once


def test_it_can_be_gone_down(packed, run):
    package = cgrec.load(packed)
    beads = package.level(1).frames[:8]
    found = package.descend(beads, 0)
    assert found.n_sites == 6
    np.testing.assert_allclose(
        package.level(1).mapping(found).positions, beads.positions[: len(found)], atol=1e-5
    )


def test_one_level_alone_is_mapped_from_level_0(run, tmp_path):
    package = open_package(pack(run, tmp_path / "one.cgrec", 1, alone=True))
    assert [level.name for level in package.levels] == ["beads"]
    assert package.level(1).mapping.fine.n_sites == 6
    with pytest.raises(ValueError, match="level 1 alone: expected the levels below"):
        list(package.descend(package.level(1).frames))
    with pytest.raises(ValueError, match="expected level 1, found 0"):
        package.level(0)


def test_the_same_run_gives_the_same_bytes(packed, run, tmp_path):
    again = pack(run, tmp_path / "again.cgrec", frames=50, license="MIT", name="model")
    assert again.read_bytes() == packed.read_bytes()


def test_nothing_absolute_and_no_pickled_object_is_inside(packed):
    with zipfile.ZipFile(packed) as archive:
        for name in archive.namelist():
            data = archive.read(name)
            assert b"/home/me" not in data and b"/scratch" not in data, name
        assert b"run.trr" in archive.read("config.yaml")
        for name in (n for n in archive.namelist() if n.endswith(".npz")):
            with archive.open(name) as file:
                assert np.load(file, allow_pickle=False).files
        archive.extract("level1/potential.pt", packed.parent)
    with zipfile.ZipFile(packed.parent / "level1" / "potential.pt") as tensors:
        (plan,) = (n for n in tensors.namelist() if n.endswith("data.pkl"))
        called = [
            str(arg)
            for opcode, arg, _ in pickletools.genops(tensors.read(plan))
            if opcode.name in ("GLOBAL", "STACK_GLOBAL")
        ]
    assert called and all(name.startswith(("torch", "collections")) for name in called)


def test_the_card_says_the_verdict_first_and_the_numbers(packed):
    card = cgrec.load(packed).card
    assert card.index("## Verdict") < card.index("level 1 (beads): LOOK") < card.index("## What")
    for said in ("a bond is off", "0.0123 +- 0.004", "87.6 +- 1.2 %", "300 K", "licence: MIT"):
        assert said in card
    assert "results['extrapolation']" in card and 'cgrec.load("model.cgrec")' in card


def test_the_page_is_whole_html_with_the_same_words(packed):
    class Reader(html.parser.HTMLParser):
        open_tags, text = [], ""

        def handle_starttag(self, tag, attrs):
            if tag != "meta":
                self.open_tags.append(tag)

        def handle_endtag(self, tag):
            assert self.open_tags.pop() == tag

        def handle_data(self, data):
            self.text += data

    with zipfile.ZipFile(packed) as archive:
        page = archive.read("card.html").decode()
    reader = Reader()
    reader.feed(page)
    assert not reader.open_tags and "<script" not in page
    for said in ("a bond is off", "0.0123 +- 0.004", "level.guard"):
        assert said in reader.text


def test_python_of_the_card_runs(packed, monkeypatch):
    monkeypatch.chdir(packed.parent)
    blocks = cgrec.load(packed).card.split("```python\n")[1:3]
    space = {"frames": cgrec.load(packed).level(0).frames}
    for block in blocks:
        exec(block.partition("```")[0], space)
    assert space["beads"].n_sites == 3 and space["finer"].n_sites == 6
    assert np.isfinite(space["atoms"].get_potential_energy())


@pytest.mark.parametrize("name", ["level1/potential.pt", "level0/frames/positions.npy", "card.md"])
def test_a_changed_file_is_named(name, packed, tmp_path, cache):
    with zipfile.ZipFile(packed) as archive:
        data = bytearray(archive.read(name))
    data[len(data) // 2] ^= 1
    other = rewritten(packed, tmp_path / "other.cgrec", **{name: bytes(data)})
    with pytest.raises(
        Damaged, match=rf"other.cgrec: {name} in it is not the file that was packed"
    ):
        cgrec.load(other)
    assert not list((cache / "packages").iterdir())


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"level1/potential.pt": None}, "found a difference in level1/potential.pt"),
        ({"level1/more.py": b"x"}, "found a difference in level1/more.py"),
        ({"../out.py": b"x"}, "stay inside the package, found '../out.py'"),
        ({"package.json": None}, "found an archive without package.json"),
        ({"package.json": b"{"}, "package.json in it is no json"),
        ({"package.json": b'{"a": 1}'}, "expected package.json with .*levels"),
    ],
)
def test_a_foreign_or_altered_archive_is_refused(changed, message, packed, tmp_path):
    with pytest.raises(ValueError, match=message):
        cgrec.load(rewritten(packed, tmp_path / "other.cgrec", **changed))
    assert not (tmp_path / "out.py").exists()


def test_a_later_format_is_refused(packed, tmp_path):
    with zipfile.ZipFile(packed) as archive:
        about = json.loads(archive.read("package.json"))
    later = json.dumps({**about, "format": 99}).encode()
    with pytest.raises(ValueError, match="format 1 or before, found 99: install a later cgrec"):
        cgrec.load(rewritten(packed, tmp_path / "later.cgrec", **{"package.json": later}))


def test_cut_foreign_and_missing_files_are_refused(packed, tmp_path):
    cut = tmp_path / "cut.cgrec"
    cut.write_bytes(packed.read_bytes()[:-1000])
    (tmp_path / "text.cgrec").write_text("hello")
    for name in ("cut.cgrec", "text.cgrec"):
        with pytest.raises(ValueError, match=f"{name}: expected a package of cgrec"):
            cgrec.load(tmp_path / name)
    with pytest.raises(FileNotFoundError, match="model.cgrec"):
        cgrec.load(tmp_path / "modle.cgrec")


def test_an_unpacked_copy_that_was_changed_is_unpacked_again(packed, cache):
    cgrec.load(packed)
    (place,) = (cache / "packages").iterdir()
    (place / "level1" / "potential.pt").write_bytes(b"other")
    assert cgrec.load(packed).level(1).potential.temperature == 300.0


def test_run_folders_load_as_before(run):
    assert len(cgrec.load(run).levels) == 2
    assert cgrec.load(run / "level1").system.n_sites == 3


def test_command_line(run, tmp_path, capsys):
    to = tmp_path / "x.cgrec"
    main(["package", f"run={run}", f"to={to}", "frames=20", "license=CC-BY-4.0"])
    said = capsys.readouterr().out
    assert f"{to}: " in said and "level 1 look" in said
    assert cgrec.load(to).about.license == "CC-BY-4.0"
    main(["export", "pdb", f"run={to}", "level=1", f"to={tmp_path}/beads.pdb"])
    assert (tmp_path / "beads.pdb").read_text().count("MODEL ") == 20
    for words, message in (
        (["package", f"run={run}", f"to={to}"], "exists already"),
        (["package", f"run={run}", f"to={tmp_path}/x.zip"], "expected to= a file such as x.cgrec"),
        (["package", f"run={run}", f"to={tmp_path}/y.cgrec", "level=7"], "one of 0 to 1"),
        (["distil", f"run={to}", "level=1"], "found the file .*packages can be exported and run"),
    ):
        with pytest.raises(SystemExit, match=message):
            main(words)


def test_a_level_0_without_a_potential_cannot_be_packed_alone(run, tmp_path):
    with pytest.raises(ValueError, match="expected a level with a potential, found none in"):
        pack(run, tmp_path / "x.cgrec", 0, alone=True)
    assert not (tmp_path / "x.cgrec").exists()


def test_a_changed_product_of_the_run_is_not_packed(run, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    (copy / "level1" / "report.json").write_text("{}")
    with pytest.raises(cgrec.run.digests.Changed, match="report.json"):
        pack(copy, tmp_path / "x.cgrec")


def test_the_example_of_the_page_runs(run, tmp_path, monkeypatch):
    from cgrec.export.ase import atoms_of

    page = Path(cgrec.__file__).parent / "docs" / "commands.md"
    (block,) = re.findall(r'```python\n(package = cgrec.load\("ala2.*?)```', page.read_text(), re.S)
    monkeypatch.chdir(tmp_path)
    pack(run, "ala2.cgrec")
    space = {"cgrec": cgrec, "atoms": atoms_of(cgrec.load(run).levels[1].frames)}
    exec(block.replace("level(2)", "level(1)"), space)
    assert np.isfinite(space["atoms"].get_potential_energy())


def test_extrapolation_of_frames_from_elsewhere(packed, run):
    level = cgrec.load(packed).level(1)
    own = level.frames
    inside = level.extrapolation(own)
    assert inside.shape == (len(own),) and inside.max() < 1
    far = replace(own, positions=own.positions * np.array([1.5, 1.0, 1.0]))
    assert level.extrapolation(far).min() > 1
    with pytest.raises((ValueError, FileNotFoundError), match="level0"):
        cgrec.load(packed).level(0).extrapolation(own)


def test_the_readme_of_a_lammps_export_says_it_of_a_dump(packed, run, tmp_path, monkeypatch):
    """Its Python runs on a dump of the level's own frames, as LAMMPS writes it."""
    from cgrec.export.lammps.folder import _LOOK

    level = cgrec.load(run).levels[1]
    lines = []
    for k, x in enumerate(10 * np.asarray(level.frames.positions[:5], float)):
        lines += ["ITEM: TIMESTEP", str(1000 * k), "ITEM: NUMBER OF ATOMS", "3"]
        lines += ["ITEM: BOX BOUNDS ff ff ff", "-50 50", "-50 50", "-50 50"]
        lines += ["ITEM: ATOMS id type xu yu zu"]
        lines += [f"{i + 1} 1 {p[0]:.6f} {p[1]:.6f} {p[2]:.6f}" for i, p in enumerate(x)]
    monkeypatch.chdir(packed.parent)
    Path("run.lammpstrj").write_text("\n".join(lines) + "\n")
    block = _LOOK.format(temperature=300.0).split("```python\n")[1].split("```")[0]
    space = {}
    exec(block, space)
    found = space["level"].extrapolation(space["frames"])
    np.testing.assert_allclose(found, level.extrapolation(level.frames[:5]), rtol=1e-3)


def test_export_package_and_openmm_on_the_command_line(run, tmp_path, capsys):
    main(["export", "package", f"run={run}", f"to={tmp_path}/x.cgrec", "frames=20"])
    main(["export", "openmm", f"run={tmp_path}/x.cgrec", "level=1", f"to={tmp_path}/omm"])
    assert "python " in capsys.readouterr().out
    level, kept = cgrec.load(run).levels[1], tmp_path / "omm" / "guard.npz"
    graph = level.potential.graph(level.frames[:5])
    np.testing.assert_allclose(
        load_guard(kept, level.potential).score(graph), level.guard.score(graph), rtol=1e-9
    )
