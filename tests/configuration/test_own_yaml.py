"""A YAML of the user's own, anywhere on the disk, is an experiment."""

import pytest

from cgrec.cli import build, main
from cgrec.configuration import composed
from cgrec.configuration.own_yaml import split

CHAIN = """
defaults:
  - /source: gaussian_chain
  - /level@levels.l1: gaussian
levels:
  l1: {mapping: {_target_: cgrec.mapping.Pick, sites: [B0, B15]}}
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_needs_neither_header_nor_folder_nor_name(here):
    (here / "deep").mkdir()
    (here / "deep" / "my chain: 2.yaml").write_text(CHAIN)
    config = composed(["deep/my chain: 2.yaml", "seed=7"])
    assert config.run == "runs/my chain: 2"
    assert config.seed == 7
    assert list(build(config).recipes) == ["l1"]


def test_a_header_and_a_name_of_its_own_are_kept(here):
    (here / "mine.yml").write_text(f"# @package _global_\n{CHAIN}\nname: other\n")
    assert composed(["mine.yml"]).run == "runs/other"


def test_a_path_may_hold_an_equals_sign(here):
    (here / "a=b.yaml").write_text(CHAIN)
    path, rest = split(["a=b.yaml", "seed=1"])
    assert path.name == "a=b.yaml" and rest == ["seed=1"]


WRONG = {
    "no file": (["none.yaml"], "none.yaml: expected a file.*cgrec init"),
    "two files": (["mine.yaml", "other.yaml"], "one YAML file, found mine.yaml and other.yaml"),
    "both": (["mine.yaml", "experiment=helix"], "either a file or experiment="),
    "tab": (["tab.yaml"], "tab.yaml, line 2: expected YAML.*spaces in place of tabs"),
    "list": (["list.yaml"], "list.yaml: expected a table"),
    "shape": (["shape.yaml"], "levels.l1: expected a table, found 3"),
    "bare": (["source=file", "source.path=x.trr"], "source=file: .*cgrec init"),
    "other format": (["bytes.yaml"], "bytes.yaml, line 1: expected text in UTF-8"),
}


@pytest.mark.parametrize("words, said", WRONG.values(), ids=WRONG)
def test_faults_name_the_users_own_file(here, words, said):
    (here / "mine.yaml").write_text(CHAIN)
    (here / "other.yaml").write_text(CHAIN)
    (here / "tab.yaml").write_text("name:\n\tx: 1\n")
    (here / "list.yaml").write_text("- a\n")
    (here / "shape.yaml").write_text(CHAIN.replace("{mapping", "3 #"))
    (here / "bytes.yaml").write_bytes("name: größe".encode("latin-1"))
    with pytest.raises(SystemExit, match=f"(?s)^cgrec: .*{said}"):
        main(["climb", *words])
    assert not (here / "runs").exists()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_sweep_takes_a_file(here):
    (here / "mine.yaml").write_text(CHAIN)
    small = ["source.n_frames=60", "levels.l1.training.steps=2", "levels.l1.dynamics.length=4"]
    small += ["levels.l1.dynamics.n_replicas=2", "levels.l1.dynamics.equilibration=0"]
    main(["climb", "mine.yaml", "-m", "seed=1,2", "run=runs/s_${seed}", "go_on=true", *small])
    assert (here / "runs/s_2/level1/report.json").exists()
