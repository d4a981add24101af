"""`eval "$(python -m croco.complete)"`: completion of `python -m croco.run` and `croco.doctor` in bash; in zsh after
`autoload -U bashcompinit && bashcompinit`.

Hydra's own (`-sc install=bash`) knows scripts and installed commands, not `python -m`, and composes the configuration at every
key press. Here groups, choices and keys are read from the files. Other commands that start with `python` complete file names.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from croco import words

MODULES = ("croco.run", "croco.doctor")
BASH = """\
_croco_complete() {
  local line="${COMP_LINE:0:$COMP_POINT}" word
  case "$line" in
    *" -m croco.run "*|*" -m croco.doctor "*) ;;
    *) return ;;
  esac
  word="${line##* }"
  local IFS=$'\\n'
  COMPREPLY=( $("${COMP_WORDS[0]}" -m croco.complete "$word" 2>/dev/null) )
  # Readline replaces what follows the last character that breaks words.
  if [[ "$COMP_WORDBREAKS" == *=* && "$word" == *=* ]]; then COMPREPLY=( "${COMPREPLY[@]#"${word%=*}="}" ); fi
}
complete -o nospace -o default -F _croco_complete python python3
"""


def candidates(word: str) -> list[str]:
    """What a word on its way can become: `met` -> `method=` and `method.`, `method=d` -> `method=dpo`, and keys below a dot."""
    known = words.groups()
    key, equals, value = word.partition("=")
    group = key.split("@")[0]
    if equals and group in known:
        before, comma, last = value.rpartition(",")
        return [f"{key}={before}{comma}{choice}" for choice in known[group] if choice.startswith(last)]
    if equals:
        return []
    every = [key if key.endswith(".") else f"{key}=" for key in words.every_key()]
    depth = word.count(".") + 1
    below = {".".join(key.split(".")[:depth]) + ("." if key.count(".") >= depth else "") for key in every}
    return sorted(name for name in {*below, *(f"{group}=" for group in known)} if name.startswith(word))


def main(arguments: Sequence[str]) -> None:
    """Without an argument the script for the shell; with one, what it can become, a line each."""
    print("\n".join(candidates(arguments[0])) if arguments else BASH)


if __name__ == "__main__":
    main(sys.argv[1:])
