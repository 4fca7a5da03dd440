"""The stable codes of what florc refuses, warns of or notes.  docs/codes.md explains each."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Code:
    """One code: a title of a few words, what it means, and what to do about it."""

    code: str
    severity: str  # "error" | "warning" | "note": how it is usually reported
    title: str
    explanation: str
    action: str


_TABLE = (
    Code(
        "FLR001",
        "error",
        "syntax error",
        "The file isn't valid Python for the interpreter that florc runs on.",
        "Mend the file, or run florc by the Python version that the script is written for.",
    ),
    Code(
        "FLR002",
        "error",
        "file can't be read",
        "The file is missing, is a folder, isn't readable, or isn't text in the encoding it "
        "declares (UTF-8 if it declares none).",
        "Check the path and the permissions, or add the right `# -*- coding: … -*-` line.",
    ),
    Code(
        "FLR003",
        "warning",
        "no training loop found",
        "No loop reached from the script updates state as training does, so there is no place to "
        "jump to. Logged values are still recorded; a replay re-runs the script from its start.",
        "If there is a training loop, wrap its iterable by hand: `for epoch in "
        'flor.loop("epoch", range(n)):`.',
    ),
    Code(
        "FLR004",
        "error",
        "unsupported construct around a training loop",
        "A training loop is an `async for`, or awaits something in its header. Its state between "
        "two iterations belongs to the event loop and can't be restored.",
        "Move the training steps into an ordinary `for` or `while` loop.",
    ),
    Code(
        "FLR005",
        "error",
        "assumed member under --strict",
        "A member of a checkpoint set isn't proved: a call that florc doesn't know stands in the "
        "way, so it is taken in to be safe. --strict refuses that.",
        "Describe the call in an effects file (docs/effects.md; `florc effects --suggest` writes "
        "entries), or leave out --strict.",
    ),
    Code(
        "FLR006",
        "note",
        "already instrumented",
        "The file holds calls to `flor.runtime.abi` that an earlier instrumentation wrote. Those "
        "loops are left as they are.",
        "Instrument the original script rather than a file from the build folder.",
    ),
    Code(
        "FLR007",
        "error",
        "bad effects file",
        "A file given by --effects, or named by `effects` or `log-calls` in `[tool.florc]` of "
        "pyproject.toml, is missing, isn't valid TOML or holds an entry that isn't an effect or a "
        "call that logs.",
        "Mend the entry that the message names; docs/effects.md and docs/capture.md have the "
        "formats.",
    ),
    Code(
        "FLR008",
        "warning",
        "log statement may change training state",
        "Evaluating the logged expression may change what training reads later, or draws from a "
        "random stream. A replay that evaluates it may differ from the recorded run.",
        "Log a value that is computed without side effects, such as a copy.",
    ),
    Code(
        "FLR009",
        "warning",
        "iterator can't be fast-forwarded",
        "A loop advances an iterator whose position can't be saved and that can't be re-created "
        "either, so a replay can't jump into that loop. It starts from the enclosing loop.",
        "Iterate over something that can be iterated again (a list, a DataLoader, a function that "
        "makes the generator), and that the loop leaves alone (a copy of the list).",
    ),
    Code(
        "FLR010",
        "warning",
        "dynamic names near a loop",
        "`exec`, `eval`, `globals()`, `setattr` or the like, with names that aren't literals, may "
        "change any variable in or around a training loop. The state is taken conservatively.",
        "Use plain assignments and attributes in the loop, or check the set by --explain.",
    ),
    Code(
        "FLR011",
        "error",
        "module can't be analysed",
        "The module is nested too deeply or is too large to be analysed or rewritten.",
        "Split the expression or the generated table in question into smaller parts.",
    ),
    Code(
        "FLR012",
        "warning",
        "log statement without a literal name",
        "The first argument of `flor.log` isn't a string literal, so florc can't tell which column "
        "the statement fills. Values are recorded, but a query can't ask for a replay of them.",
        'Give the name as a literal: `flor.log("loss", loss)`.',
    ),
    Code(
        "FLR013",
        "warning",
        "logged name that is another column too",
        "In SQL the name means the loop's position (or the run's number, status, …), which need "
        "not be the logged value: a `while` loop's counter is noted at the head, before the body "
        "steps it.",
        'Ask for the logged value as `"log.NAME"` (quoted), or log it under another name.',
    ),
    Code(
        "FLR014",
        "warning",
        "state changed against the analysis",
        "While recording, something changed that the analysis took to be unchanged: an effect "
        "entry is wrong, or code wrote where no call shows it. It is saved from then on, and a "
        "replay uses no earlier checkpoint of the loop.",
        "Correct the entry of the call: `florc effects --suggest` prints it.",
    ),
    Code(
        "FLR015",
        "warning",
        "log statement has no place in another version",
        "What the statement reads isn't bound in the other version, the code around it is gone "
        "from there, or several places would do. It isn't put anywhere by guess. A call to a "
        "tracker that isn't a statement of its own can't be put into another version.",
        "Choose the place by `florc propagate --at FILE:LINE`, or log what that version has.",
    ),
)

CODES: dict[str, Code] = {code.code: code for code in _TABLE}
"""Every code, in order."""
