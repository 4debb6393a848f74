"""Classes of other people's packages in a .pt: by module and name, through an entry point, and by
nothing else.
"""

import sys
from importlib.metadata import EntryPoint

import pytest
import torch

import cgrec.backmapping
from cgrec import plugins
from cgrec.backmapping import Backmapper
from cgrec.plugins import NoPlugin, Registry
from cgrec.potential import DensityNetwork, Potential

CODE = """
from pathlib import Path
Path(__file__).with_name("IMPORTED").touch()
import cgrec.potential
class DensityNetwork(cgrec.potential.Potential):
    def __init__(self, *, types, cutoff=0.0):
        super().__init__(types=types, cutoff=cutoff)
    def energy(self, graph):
        return graph.per_frame(graph.positions).square().sum((1, 2))
"""


@pytest.fixture
def stranger(tmp_path, monkeypatch):
    """A package on the path with a class of the name of ours; forgotten afterwards."""
    (tmp_path / "stranger").mkdir()
    (tmp_path / "stranger" / "__init__.py").write_text("")
    (tmp_path / "stranger" / "nets.py").write_text(CODE)
    monkeypatch.syspath_prepend(str(tmp_path))
    known = dict(Potential.registry._known)
    yield tmp_path / "stranger"
    Potential.registry._known = known
    for name in [m for m in sys.modules if m.startswith("stranger")]:
        del sys.modules[name]


def offer(monkeypatch, *modules):
    points = [EntryPoint(name=m, value=m, group=plugins.PLUGINS) for m in modules]
    monkeypatch.setattr(
        plugins, "entry_points", lambda group: points if group == plugins.PLUGINS else []
    )


def written(path, name):
    torch.save({"class": name, "config": {"types": ["A"]}, "state": {}}, path)
    return path


def test_a_file_names_module_and_class(tmp_path):
    network = DensityNetwork(types=["A"], cutoff=0.5, channels=4, width=8)
    network.save(tmp_path / "p.pt")
    assert torch.load(tmp_path / "p.pt")["class"] == "cgrec.potential.network:DensityNetwork"
    assert isinstance(Potential.load(tmp_path / "p.pt"), DensityNetwork)


@pytest.mark.parametrize("name", ["DensityNetwork", "cgrec.potential.moved.away:DensityNetwork"])
def test_files_of_earlier_versions_and_moved_modules_load(name, tmp_path):
    network = DensityNetwork(types=["A"], cutoff=0.5, channels=4, width=8)
    torch.save({**network.to_state(), "class": name}, tmp_path / "p.pt")
    assert isinstance(Potential.load(tmp_path / "p.pt"), DensityNetwork)


def test_no_two_classes_of_ours_share_a_name():
    for registry in (Potential.registry, Backmapper.registry):
        ours = [c.__name__ for c in registry._known.values() if c.__module__.startswith("cgrec.")]
        assert len(ours) == len(set(ours)) > 4


@pytest.mark.parametrize("module", ["stranger", "stranger.nets"])
def test_a_class_of_a_plugin_is_imported_and_does_not_clash(
    module, stranger, tmp_path, monkeypatch
):
    offer(monkeypatch, module)
    found = Potential.load(written(tmp_path / "p.pt", "stranger.nets:DensityNetwork"))
    assert type(found).__module__ == "stranger.nets" and (stranger / "IMPORTED").exists()
    own = DensityNetwork(types=["A"], cutoff=0.5, channels=4, width=8)
    own.save(tmp_path / "own.pt")
    found.save(tmp_path / "theirs.pt")
    assert type(Potential.load(tmp_path / "own.pt")) is DensityNetwork
    assert type(Potential.load(tmp_path / "theirs.pt")) is type(found)


@pytest.mark.parametrize("trusted", [[], ["other"], ["strange"], ["stranger.other.part"]])
def test_a_class_of_another_package_is_not_imported(trusted, stranger, tmp_path, monkeypatch):
    (stranger / "other").mkdir()
    (stranger / "other" / "part.py").write_text("")
    offer(monkeypatch, *trusted)
    with pytest.raises(NoPlugin, match=r"p\.pt: .*stranger.*install") as refusal:
        Potential.load(written(tmp_path / "p.pt", "stranger.nets:DensityNetwork"))
    assert not (stranger / "IMPORTED").exists() and "stranger.nets" not in sys.modules
    assert "bring it back" not in str(refusal.value)


def test_what_the_program_imported_itself_is_known(stranger, tmp_path):
    import stranger.nets  # the user's own word

    made = stranger.nets.DensityNetwork(types=["A"])
    made.save(tmp_path / "p.pt")
    assert type(Potential.load(tmp_path / "p.pt")) is stranger.nets.DensityNetwork
    with pytest.raises(ValueError, match="embedding"):  # a bare name is one of ours, always
        Potential.load(written(tmp_path / "bare.pt", "DensityNetwork"))


@pytest.mark.parametrize(
    "name", ["os:system", "os.path:join", "subprocess:Popen", "builtins:exec", "a b:c", ":", "x:"]
)
def test_names_that_are_no_potential_are_refused(name, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match=r"p\.pt"):
        Potential.load(written(tmp_path / "p.pt", name))
    offer(monkeypatch, name.partition(":")[0])  # not even where a plugin has a module of that name
    with pytest.raises(ValueError, match=r"p\.pt"):
        Potential.load(written(tmp_path / "p.pt", name))


@pytest.mark.parametrize("name", [None, 7, ["DensityNetwork"], {"a": 1}, b"DensityNetwork"])
def test_a_name_that_is_no_text_is_refused(name, tmp_path):
    with pytest.raises(ValueError, match="unknown potential class|not a readable"):
        Potential.load(written(tmp_path / "p.pt", name))


def test_a_plugin_that_cannot_be_imported_is_named(stranger, tmp_path, monkeypatch):
    (stranger / "nets.py").write_text("import no_such_package_at_all")
    offer(monkeypatch, "stranger")
    with pytest.raises(
        NoPlugin, match="stranger.nets cannot be imported.*no_such_package_at_all.*mend"
    ):
        Potential.load(written(tmp_path / "p.pt", "stranger.nets:DensityNetwork"))


def test_a_class_that_a_plugin_no_longer_has(stranger, tmp_path, monkeypatch):
    offer(monkeypatch, "stranger")
    with pytest.raises(NoPlugin, match="stranger.nets:Gone.*the version of stranger"):
        Potential.load(written(tmp_path / "p.pt", "stranger.nets:Gone"))


def test_a_class_of_a_script_has_one_name_in_its_processes():
    kind = type("Mine", (), {"__module__": "__mp_main__"})
    assert Registry.name(kind) == "__main__:Mine"


def test_backmappers_are_found_alike(tmp_path):
    assert Backmapper.registry.find("FlowBackmapper") is cgrec.backmapping.FlowBackmapper
    torch.save({"class": "stranger.nets:Back", "models": {}}, tmp_path / "backmapper.pt")
    with pytest.raises(NoPlugin, match="stranger"):
        Backmapper.load(tmp_path / "backmapper.pt", None)


def point(name, group, package, value="stranger.nets:greet"):
    class Dist:
        pass

    dist = Dist()
    dist.name, dist.metadata = package, {"Summary": f"what {package} does"}
    made = EntryPoint(name=name, value=value, group=group)
    return made._for(dist)


def test_two_packages_with_one_name_are_refused_by_that_name(monkeypatch):
    points = [point("greet", plugins.COMMANDS, p) for p in ("a", "b", "a")]
    monkeypatch.setattr(plugins, "entry_points", lambda group: points)
    assert [plugins.package_of(p) for p in plugins.offered(plugins.COMMANDS)["greet"]] == ["a", "b"]
    with pytest.raises(ValueError, match="greet: .*a and b; uninstall one"):
        plugins.loaded(plugins.COMMANDS, "greet")


@pytest.mark.parametrize(
    "value, said", [("no_such:f", "cannot be imported"), ("math:pi", "expected a function")]
)
def test_an_entry_point_that_leads_nowhere_names_its_package(value, said, monkeypatch):
    monkeypatch.setattr(
        plugins, "entry_points", lambda group: [point("greet", group, "toy", value)]
    )
    with pytest.raises(ValueError, match=f"greet.*{said}|greet: {said}") as refusal:
        plugins.loaded(plugins.COMMANDS, "greet")
    assert "toy" in str(refusal.value)
