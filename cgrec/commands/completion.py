"""a script that completes words of cgrec in bash, zsh or fish"""

from __future__ import annotations

from ..configuration import (
    SUFFIXES,
    Key,
    as_plain,
    composed,
    experiments,
    keys_of,
    options_of_command,
)

_HELP = """cgrec completion: print a script that completes commands, keys, experiments and choices

  cgrec completion bash >> ~/.bash_completion
  cgrec completion zsh > ~/.zfunc/_cgrec          with fpath+=~/.zfunc before compinit in ~/.zshrc
  cgrec completion fish > ~/.config/fish/completions/cgrec.fish

Keys are those of the default experiment, or of the experiment=NAME or mine.yaml on the line."""
SHELLS = {
    "bash": """_cgrec() {
    local line="${COMP_LINE:0:COMP_POINT}" word
    COMPREPLY=()
    while IFS= read -r word; do COMPREPLY+=("$word"); done < <(cgrec completion words "$line" 2>/dev/null)
    [[ ${#COMPREPLY[@]} -eq 0 ]] && compopt -o default
    [[ ${COMPREPLY[0]} == *[=.] ]] && compopt -o nospace
}
COMP_WORDBREAKS=${COMP_WORDBREAKS//=/}
complete -F _cgrec cgrec
""",
    "zsh": """#compdef cgrec
_cgrec() {
    local -a found
    found=("${(@f)$(cgrec completion words "$BUFFER[1,$CURSOR]" 2>/dev/null)}")
    [[ -n "$found" ]] && compadd -Q -S '' -- $found || _files
}
_cgrec "$@"
""",
    "fish": """complete -c cgrec -a '(cgrec completion words (commandline -cp) 2>/dev/null)'
""",
}
#: Commands that take a configuration.
_CONFIGURED = ("climb", "check", "keys")


def completion(arguments: list[str]) -> None:
    """Print the script of a shell; or, for that script, the words that may come next."""
    if arguments[:1] == ["words"] and len(arguments) == 2:
        print("\n".join(words_after(arguments[1])))
        return
    if len(arguments) != 1 or arguments[0] not in SHELLS:
        raise ValueError(
            f"cgrec completion: expected one of {', '.join(SHELLS)}, found "
            f"{' '.join(arguments) or 'nothing'}; e.g. cgrec completion bash"
        )
    print(SHELLS[arguments[0]], end="")


def explain(arguments: list[str]) -> str:
    """What --help says."""
    return _HELP


def words_after(line: str) -> list[str]:
    """The words that can stand at the end of a command line, in place of its last one.

    Args:
        line: up to the cursor, beginning with cgrec.
    """
    from . import own  # the list of commands, which this file is one of

    before, _, last = line.lstrip().rpartition(" ")
    given = before.split()[1:]
    if not given:
        found = own()
    elif given[0] in _CONFIGURED:
        found = _configured(given[1:], last, values=given[0] != "keys")
    else:
        found = [f"{word}=" for word in options_of_command(given[0])]
    return [word for word in found if word.startswith(last)]


def _configured(given: list[str], last: str, values: bool) -> list[str]:
    key, equals, _ = last.partition("=")
    if equals:
        return [f"{key}={choice}" for choice in _choices(given, key)]
    first = [f"experiment={name}" for name in experiments()] if "experiment".startswith(key) else []
    end = "=" if values else ""
    return [*first, *(f"{k.key}{end}" for k in _keys(given))]


def _choices(given: list[str], key: str) -> list[str]:
    if key == "experiment":
        return experiments()
    return next((list(k.choices) for k in _keys(given) if k.key == key), [])


def _keys(given: list[str]) -> list[Key]:
    words = [w for w in given if "=" in w or w.endswith(SUFFIXES)]
    try:
        config = composed(words)
    except ValueError:  # a word on the line is wrong: those of the default, then
        config = composed([])
    return list(keys_of(as_plain(config)))
