"""The shells themselves complete the command line, from the files that the package installs."""

import subprocess
import sys
from pathlib import Path

from tests.machine.machine import Machine

PROJECT = Path(__file__).resolve().parents[2]
# What bash does when Tab is pressed: it loads the completion, calls it, and shows COMPREPLY.
BASH = """
. /usr/share/bash-completion/bash_completion
read -ra COMP_WORDS <<<"$1"
case $1 in *' ') COMP_WORDS+=('') ;; esac
COMP_CWORD=$((${#COMP_WORDS[@]} - 1)) COMP_LINE=$1 COMP_POINT=${#1}
_comp_load hx-gateway-db 2>/dev/null || _completion_loader hx-gateway-db # its name on bookworm
function=$(complete -p hx-gateway-db | sed 's/.* -F \\([^ ]*\\) .*/\\1/')
$function hx-gateway-db
printf '%s\\n' "${COMPREPLY[@]}"
"""
# zsh shows completions only on a terminal; zpty is its own.
ZSH = """
zmodload zsh/zpty
zpty shell 'PS1= TERM=dumb zsh -f -i'
zpty -w shell 'autoload -U compinit; compinit -u; LISTMAX=10000; setopt no_always_last_prompt'
zpty -w shell 'zstyle ":completion:*" list-separator "#"; zstyle ":completion:*" menu no'
zpty -w shell 'bindkey "^I" list-choices; stty columns 200; echo READ''Y'
zpty -r shell text '*READY*'
zpty -w -n shell "$1"$'\\t'
sleep 1
zpty -w shell $'\\025'
zpty -w shell 'echo DON''E'
zpty -r shell text '*DONE*'
print -r -- "$text"
"""


def completions(machine: Machine, shell: str, line: str) -> str:
    """What the shell offers to complete `line` with, in the folder /srv/completing."""
    scripts = {"bash": BASH, "zsh": ZSH, "fish": 'complete --do-complete "$argv[1]"'}
    if shell == "fish":
        command = ["fish", "-c", scripts[shell], line]
    else:
        command = [shell, "-c", scripts[shell], shell, line]
    inside = ["sh", "-c", 'cd /srv/completing && exec "$@"', "sh", *command]
    return machine.run(inside, env={"TERM": "dumb"}).stdout


def commands() -> list[str]:
    command = [sys.executable, "-m", "hx_gateway_db", "--help"]
    text = subprocess.run(command, cwd=PROJECT, check=True, capture_output=True, text=True).stdout
    return [
        line.split()[0] for line in text.splitlines() if line.startswith("    ") and line[4] != " "
    ]


def test_the_shells_complete_commands_options_and_files(tools: Machine, deb: Path) -> None:
    tools.put(deb, "/root/package.deb")
    tools.run(["dpkg-deb", "--extract", "/root/package.deb", "/"])
    tools.run(["mkdir", "-p", "/srv/completing/folder one"])
    tools.run(["touch", "/srv/completing/answers.txt"])
    for shell in ("bash", "zsh", "fish"):
        offered = completions(tools, shell, "hx-gateway-db ")
        assert [name for name in commands() if name not in offered] == [], shell
        assert "--root" in completions(tools, shell, "hx-gateway-db --r"), shell
        for line in ("hx-gateway-db apply --an", "hx-gateway-db --root /mnt apply --an"):
            assert "--answers" in completions(tools, shell, line), shell
        assert "--json" not in completions(tools, shell, "hx-gateway-db apply --"), shell
        assert "answers.txt" in completions(tools, shell, "hx-gateway-db apply --answers "), shell
        assert "--root" in completions(tools, shell, "hx-gateway-db apply --r"), shell
        for line in ("hx-gateway-db --root ", "hx-gateway-db apply --root "):
            folders = completions(tools, shell, line)
            assert "folder" in folders, shell
            assert "answers.txt" not in folders, shell
        for word in ("postgres", "redis", "all"):
            assert word in completions(tools, shell, "hx-gateway-db rotate "), shell
