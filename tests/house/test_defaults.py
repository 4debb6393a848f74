"""A default stands in one place, the signature: a YAML of ours says only what it changes."""

import inspect

import pytest
import yaml
from hydra.utils import get_method
from omegaconf import OmegaConf

from cgrec.cli import build, composed, configuration, main
from cgrec.run.recipes import described

CONF = configuration()
FILES = sorted(p for p in CONF.rglob("*.yaml") if p.parent.name not in ("conf", "launcher"))
#: Repeated on purpose, because the keys inside are to be changed one by one.
KEPT = {"source/quantum.yaml: labeller.arguments"}


def signature(target):
    return inspect.signature(get_method(target) if isinstance(target, str) else target).parameters


def repeated(said, base, where=""):
    """Keys of `said` whose values are what holds without them: those of `base`, the configuration
    below, or else the signature's.
    """
    target = said.get("_target_", base.get("_target_"))
    known = signature(target) if target else {}
    for key, value in said.items():
        below = base.get(key)
        path = f"{where}{key}"
        if isinstance(value, dict) and (isinstance(below, dict) or "_target_" in value):
            changes_class = "_target_" in value
            inside = {} if changes_class or not isinstance(below, dict) else below
            yield from repeated(value, inside, f"{path}.")
        elif key not in ("_target_", "_partial_"):
            default = known[key].default if key in known else inspect.Parameter.empty
            if (below if key in base else default) == value:
                yield path


def below(path, tmp_path):
    """What `path` is said on top of: the configuration that its defaults list makes."""
    said = yaml.safe_load(path.read_text())
    choices = said.pop("defaults", [])
    if path.parent.name not in ("experiment", "level"):
        return said, {}
    group = tmp_path / path.parent.name
    group.mkdir()
    bare: dict = {"defaults": choices if "_self_" in choices else [*choices, "_self_"]}
    if path.parent.name == "level":
        head = ""
        bare |= {"_target_": said["_target_"]} if "_target_" in said else {}
    else:
        head = "# @package _global_\n"
    (group / "bare.yaml").write_text(head + yaml.safe_dump(bare))
    if path.parent.name == "experiment":
        config = composed(["experiment=bare"], str(tmp_path))
        return said, OmegaConf.to_container(config, resolve=False)
    config = composed(["experiment=gaussian_chain", "+level@levels.l9=bare"], str(tmp_path))
    return said, OmegaConf.to_container(config, resolve=False)["levels"]["l9"]


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(CONF)))
def test_no_yaml_repeats_a_default(path, tmp_path):
    said, base = below(path, tmp_path)
    name = path.relative_to(CONF)
    found = [key for key in repeated(said, base) if f"{name}: {key}" not in KEPT]
    assert not found, f"{name} says again what holds without it: {', '.join(found)}"


@pytest.mark.parametrize(
    "name", ["dynamics/langevin", "training/force_matching", "potential/density"]
)
def test_general_files_leave_defaults_to_the_signature(name):
    """Of what Python users get by default, a file for all levels changes nothing."""
    said = yaml.safe_load((CONF / f"{name}.yaml").read_text())
    known = signature(said["_target_"])
    for key in said.keys() - {"_target_", "_partial_"}:
        assert known[key].default is inspect.Parameter.empty, f"{name}: {key}"


def test_config_yaml_says_what_a_chain_does_by_default():
    from cgrec import Chain

    said = yaml.safe_load((CONF / "config.yaml").read_text())
    known = signature(Chain)
    for key in ("control", "bins", "device", "threads", "go_on"):
        assert said[key] == known[key].default
    assert not said["basins"] and not known["basins"].default


@pytest.mark.parametrize(
    "words",
    [
        ["levels.l1.dynamics.skin=0.2"],
        ["levels.l2.training.processes=2", "levels.l1.training.device=cpu"],
        ["levels.l3.refine_pairs=null", "source.bond=0.4"],
    ],
)
def test_a_key_that_no_yaml_lists_can_be_given(words):
    """It is a keyword of the class; with a plus it means the same."""
    config = composed(["experiment=gaussian_chain", *words])
    for word in words:
        key, value = word.split("=")
        assert OmegaConf.select(config, key) == yaml.safe_load(value)
    plus = [word if "source" in word else f"+{word}" for word in words]
    assert described(build(config)) == described(
        build(composed(["experiment=gaussian_chain", *plus]))
    )


def test_of_a_key_given_twice_the_last_counts():
    """As of keys that a YAML lists, e.g. where a script appends to what it was given."""
    config = composed(["experiment=gaussian_chain", "source.bond=0.4", "source.bond=0.5"])
    assert config.source.bond == 0.5


def test_a_misspelt_keyword_is_not_added():
    with pytest.raises(SystemExit, match=r"levels.l1.training.devise: .*levels.l1.training.device"):
        main(["climb", "experiment=gaussian_chain", "levels.l1.training.devise=cpu"])


def test_nothing_foreign_is_imported_to_look_for_a_keyword(tmp_path):
    (tmp_path / "experiment").mkdir()
    text = "# @package _global_\ndefaults: [gaussian_chain, _self_]\nsource: {_target_: antigravity.X}\n"
    (tmp_path / "experiment" / "mine.yaml").write_text(text)
    with pytest.raises(ValueError, match=r"source\.height"):
        composed(["experiment=mine", "source.height=3"], str(tmp_path))
