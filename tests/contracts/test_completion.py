"""Completion of words on the command line, without torch."""

import subprocess
import sys

import pytest

from cgrec import commands
from cgrec.cli import main
from cgrec.commands.completion import SHELLS, words_after
from cgrec.options import options_of


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("cgrec cl", ["climb"]),
        ("cgrec climb experiment=gau", ["experiment=gaussian_chain"]),
        ("cgrec check levels.l1.dynamics.tim", ["levels.l1.dynamics.timestep="]),
        ("cgrec keys levels.l1.dynamics.tim", ["levels.l1.dynamics.timestep"]),
        ("cgrec climb experiment=gaussian_chain source.b", ["source.bond="]),
        ("cgrec climb levels.l1.training.precision=", ["float32", "float64"]),
        ("cgrec climb go_on=", ["true", "false"]),
        ("cgrec descend f", ["from=", "frames="]),
    ],
)
def test_words_that_may_follow(line, words):
    last = line.rpartition(" ")[2]
    whole = [w if w.startswith(last) else last + w for w in words]
    assert words_after(line) == whole


@pytest.mark.parametrize("name", ["descend", "friction", "distil", "backmap", "report", "map"])
def test_options_are_those_of_the_command(name):
    wanted = {f"{option.word}=" for option in options_of(commands.find(name))}
    assert set(words_after(f"cgrec {name} ")) == wanted


@pytest.mark.parametrize("shell", SHELLS)
def test_a_script_for_each_shell(shell, capsys):
    main(["completion", shell])
    assert "cgrec completion words" in capsys.readouterr().out


def test_another_shell_is_refused():
    with pytest.raises(SystemExit, match="expected one of bash, zsh, fish, found csh"):
        main(["completion", "csh"])


def test_torch_is_not_imported():
    script = (
        "import sys; from cgrec.cli import main; main(['completion', 'words', "
        "'cgrec climb levels.l1.']); raise SystemExit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0 and "levels.l1.dynamics.timestep=" in done.stdout
