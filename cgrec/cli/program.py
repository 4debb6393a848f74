"""`main`, which finds a command and calls it."""

from __future__ import annotations

import os
import re
import sys
import traceback
import warnings
from collections.abc import Callable
from difflib import get_close_matches
from importlib.metadata import version

from .. import commands
from ..configuration import experiments
from ..options import WrongUsage
from ..remarks import Remark
from ..stopping import Stopped, interruptible
from .errors import folder_of, told

USAGE = """cgrec: recursive coarse-graining

{commands}
cgrec COMMAND --help lists its options; cgrec climb alone makes alanine dipeptide, three levels above
the atoms, in minutes. Options are key=value. --debug shows the traceback of an error, --version the
version. Experiments of cgrec climb experiment=NAME: {experiments}.
"""
#: Commands that keep what was finished and go on from there.
_RESUME = ("climb", "run", "descend", "distil", "friction", "analyse-backmapping")


def main(arguments: list[str] | None = None) -> None:
    """Entry point of `cgrec` and `python -m cgrec`. An error is one line; with --debug its
    traceback is before it. Exit status: 0 done, 1 refused or failed, 2 wrong usage.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in arguments
    arguments = [a for a in arguments if a != "--debug"]
    shown, warnings.formatwarning = warnings.formatwarning, _as_sentence(warnings.formatwarning)
    try:
        with interruptible():
            _call(arguments)
    except BrokenPipeError:  # whoever read the output, e.g. head, has seen enough
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 (Python flushes it when it ends)
        sys.exit(141)
    except Stopped as stop:
        sys.stderr.write(f"\ncgrec: {stop}\n")
        sys.exit(stop.exit_code)
    except KeyboardInterrupt:
        if debug:
            traceback.print_exc()
        sys.stderr.write(f"\ncgrec: stopped; {_way_on(arguments)}\n")
        sys.exit(130)
    except WrongUsage as error:
        raise _wrong_usage(str(error)) from None
    except Exception as error:
        if debug:
            traceback.print_exc()
        said = re.sub(r"^cgrec (?=[a-z -]+: )", "", told(error, folder_of(arguments)))
        sys.exit(f"cgrec: {said}")
    finally:
        warnings.formatwarning = shown


def _wrong_usage(said: str) -> SystemExit:
    """An exit with status 2, what was said printed."""
    sys.stderr.write(f"cgrec: {said}\n")
    stop = SystemExit(f"cgrec: {said}")
    stop.code = 2
    return stop


def _call(arguments: list[str]) -> None:
    """What the first argument names; help where nothing, or --help, asks for it.

    Raises:
        WrongUsage: no such command.
    """
    name = arguments[0] if arguments else "--help"
    if name == "--version":
        print(f"cgrec {version('cgrec')}")
        return
    asks = bool({"-h", "--help"} & set(arguments)) or not arguments
    if asks and name.startswith("-"):
        print(USAGE.format(commands=commands.usage(), experiments=", ".join(experiments())))
        sys.exit(0)
    _check(name)
    if asks:
        print(commands.help_of(name, arguments[1:]))
        sys.exit(0)
    commands.call(name, arguments[1:])


def _check(name: str) -> None:
    known = [*commands.own(), *commands.brought()]
    if name not in known:
        near = get_close_matches(name, known, 1)
        raise WrongUsage(
            f"expected a command, one of {', '.join(known)}, found {name}; "
            + (f"did you mean {near[0]}?" if near else "cgrec --help shows what each does")
        )


def _way_on(arguments: list[str]) -> str:
    """What to do after a command was stopped."""
    if arguments[:1] and arguments[0] in _RESUME:
        return "what was finished is kept, and the same command goes on from there"
    return "give the same command again"


def _as_sentence(usual: Callable[..., str]) -> Callable[..., str]:
    """Remarks are for users: a sentence without file and line. Other warnings as usual."""

    def shown(
        message: Warning | str, category: type[Warning], *place: object, **more: object
    ) -> str:
        if issubclass(category, Remark):
            return f"cgrec: note: {message}\n"
        return usual(message, category, *place, **more)

    return shown
