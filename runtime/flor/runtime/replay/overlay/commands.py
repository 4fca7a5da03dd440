"""Which commands a script may start during a replay: Python, and what only reads."""

from __future__ import annotations

import os
import re
import shlex
import shutil
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from . import data, real

if TYPE_CHECKING:
    from .layers import Layers

_PYTHON = re.compile(r"python[\d.]*$")
_UNSHIELDED = re.compile(r"-[A-Za-z]*[IES]")  # flags with which sitecustomize does not run
_SEPARATORS = frozenset({"|", "||", "&&", ";"})
_REDIRECTION = re.compile(r"\d*>&\d|&?\d*>{1,2}")


def objection(layers: Layers, words: Sequence[Any], executable: Any = None) -> str | None:
    """Why a command must not run during a replay; None if it only reads or is shielded."""
    text = [os.fsdecode(word) for word in words]
    if not text:
        return "an empty command"
    program = os.fsdecode(executable) if executable else text[0]
    name = os.path.basename(program)
    if name in data.SHELLS and len(text) >= 3 and text[1] in ("-c", "-ec", "-lc"):
        return shell_objection(layers, text[2])
    if _PYTHON.match(name) or _is_python_script(program):
        return _python_objection(text)
    rule = data.READ_ONLY.get(name)
    if rule is None:
        return f"{shlex.join(text)!r}: not known to be read-only"
    if name == "git":
        text = _without_git_globals(text)
    return _rule_objection(layers, rule, text)


def shell_objection(layers: Layers, line: str) -> str | None:
    """Why a shell's command line must not run; pipes between harmless commands may."""
    said = f"{line!r}"
    if "`" in line or "$(" in line or "<(" in line or "\n" in line.strip():
        return f"{said}: not known to be read-only"
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    try:
        tokens = list(lexer)
    except ValueError:
        return f"{said}: cannot be read"
    command: list[str] = []
    position = 0
    while position < len(tokens):
        token = tokens[position]
        position += 1
        if token in _SEPARATORS:
            reason = objection(layers, command) if command else None
            if reason:
                return reason
            command = []
        elif set(token) <= set("<>&|;()") and token:
            target = tokens[position] if position < len(tokens) else ""
            position += 1
            if token == "<" or target == "/dev/null" or (token == ">&" and target.isdigit()):
                if command and command[-1] in ("1", "2") and token != "<":
                    command.pop()  # the descriptor in front of ">"
                continue
            return f"{said}: not known to be read-only"
        else:
            command.append(token)
    return objection(layers, command) if command else None


def _python_objection(words: list[str]) -> str | None:
    for word in words[1:]:
        if not word.startswith("-") or word in ("-c", "-m"):
            return None
        if _UNSHIELDED.match(word):
            return f"{shlex.join(words)!r}: {word} keeps the replay from shielding it"
    return None


def _is_python_script(program: str) -> bool:
    """Whether a console script (torchrun, accelerate, …) starts a Python interpreter."""
    found = shutil.which(program)
    if found is None:
        return False
    try:
        with real.open_file(found, "rb") as stream:
            first = stream.readline(200)
    except OSError:
        return False
    words = os.fsdecode(first[2:]).split() if first.startswith(b"#!") else []
    return bool(words) and any(_PYTHON.match(os.path.basename(word)) for word in words)


def _without_git_globals(words: list[str]) -> list[str]:
    """A git command line without the harmless options in front of its verb."""
    rest = list(words)
    while len(rest) > 1 and rest[1].startswith("-"):
        if rest[1] == "-C" and len(rest) > 2:
            del rest[1:3]
        elif rest[1] in ("--no-pager", "--no-optional-locks", "--bare") or rest[1].startswith(
            ("--git-dir=", "--work-tree=")
        ):
            del rest[1]
        else:
            if rest[1] == "--version":
                rest[1] = "version"
            break
    return rest


def _rule_objection(layers: Layers, rule: data.Command, words: list[str]) -> str | None:
    said = f"{shlex.join(words)!r}"
    plain = [word for word in words[1:] if not word.startswith("-")]
    refused = [w for w in words[1:] if rule.refuse and w.startswith(rule.refuse)]
    if refused:
        return f"{said}: {refused[0]} is not read-only"
    if rule.verbs and (len(words) < 2 or words[1] not in rule.verbs):
        return f"{said}: not known to be read-only"
    if not rule.plain and plain and words[0] != "nvidia-smi":
        return f"{said}: not known to be read-only"
    if rule.output:
        return None if _output_is_ours(layers, words) else f"{said}: it writes a file"
    for word in plain:
        if _was_written(layers, word):
            return f"{said}: {word} was written during the replay"
    return None


def _output_is_ours(layers: Layers, words: list[str]) -> bool:
    """Whether a compiler only reports, or writes into the scratch."""
    for option, value in zip(words, [*words[1:], ""]):
        if option == "-o" or (option.startswith("-o") and os.path.isabs(option[2:])):
            path = layers.canonical(value if option == "-o" else option[2:])
            return layers.passes(path)
    reports = ("--version", "-v", "-V", "-dump", "-print", "--print", "--help", "-E", "-###")
    return any(word.startswith(reports) for word in words[1:])


def _was_written(layers: Layers, word: str) -> bool:
    """Whether a word names a file of the scratch layer, which the command would not see."""
    try:
        path = layers.canonical(word)
    except (OSError, ValueError):
        return False
    return not layers.passes(path) and (
        layers.hidden(path) or (real.lexists(layers.upper + path) and not layers.is_folder(path))
    )
