"""`florc instrument`: compile, report, write the build."""

from __future__ import annotations

import argparse
import json
import os
import sys
import warnings
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from florc.cli import BAD_INPUT, DONE, REFUSED, Quit, report, say
from florc.compilation import Compilation, CompileError
from florc.emit import cache
from florc.emit.build import Build, all_effects, assemble, fresh_build, is_stale, write
from florc.frontend.project import project_root
from florc.plan import Diagnostic, ModulePlan, Plan

STDIN = Path("<stdin>")


def instrument(arguments: argparse.Namespace) -> int:
    """Run the command; the exit code.  Raises cli.Quit."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the parser: the user sees them when the script runs
        return _instrument(arguments)


def _instrument(arguments: argparse.Namespace) -> int:
    script = _script(arguments)
    stdin = arguments.script == "-"
    root = project_root(script)
    original = ""
    try:
        if arguments.check and not arguments.diff:
            return _check(arguments, root, script)
        build, keep = None, False
        if not stdin and not arguments.emit and not arguments.diff and not arguments.no_cache:
            build = _known_build(arguments, root, script)
            keep = build is None
        if build is None:
            compilation = _compile(arguments, root, script)
            if arguments.emit:
                return _dump(arguments, compilation)
            original = compilation.modules[0].text if compilation.modules else ""
            build = assemble_or_refuse(compilation)
            effects = all_effects(root, arguments.effects) if keep else None
            if effects is not None:
                cache.store(build, root, script, arguments.module, effects)
            if arguments.diff:
                return _diff(arguments, compilation, build, root, script)
    except CompileError as error:
        if arguments.output_format == "json":
            _print_diagnostics(error.diagnostics)
        report(error.diagnostics, quiet=arguments.quiet)
        return BAD_INPUT
    return _finish(arguments, build, root, script, original if stdin else None)


def _known_build(arguments: argparse.Namespace, root: Path, script: Path) -> Build | None:
    """The build if the project's folder or the user's cache has it."""
    build = fresh_build(
        root,
        script,
        module=arguments.module,
        effects=arguments.effects,
        directory=arguments.out,
    )
    effects = all_effects(root, arguments.effects)
    if build is None and effects is not None:
        build = cache.load(root, script, arguments.module, effects)
    return build


def _script(arguments: argparse.Namespace) -> Path:
    """The file to compile.  Raises Quit (2) unless exactly one is named."""
    if (arguments.script is None) == (arguments.module is None):
        raise Quit(BAD_INPUT, "give one script, `-` for standard input, or -m MODULE")
    if arguments.module is not None:
        return _module_file(arguments.module)
    if arguments.script == "-":
        if arguments.check:
            raise Quit(BAD_INPUT, "--check needs a file: standard input has no build")
        return STDIN
    return Path(arguments.script)


def _module_file(module: str) -> Path:
    """The file that ``python -m module`` would run from here."""
    stem = Path(*module.split("."))
    for candidate in (stem / "__main__.py", stem.with_name(stem.name + ".py")):
        if candidate.is_file():
            return candidate
    raise Quit(BAD_INPUT, f"FLR002 no module {module!r} below the current folder")


def _compile(arguments: argparse.Namespace, root: Path, script: Path) -> Compilation:
    from florc.driver import compile_project

    text = None
    if script is STDIN:
        try:
            text = sys.stdin.buffer.read().decode("utf-8-sig")
        except UnicodeDecodeError:
            raise CompileError(_unreadable("<stdin>", "not valid UTF-8")) from None
    elif script.is_dir():
        raise CompileError(_unreadable(str(script), "it is a folder"))
    return compile_project(
        script,
        root=root,
        module=arguments.module,
        source_override=text,
        effects=tuple(arguments.effects),
    )


def _unreadable(shown: str, why: str) -> Diagnostic:
    return Diagnostic("FLR002", "error", f"cannot be read: {why}", shown, 0)


def assemble_or_refuse(compilation: Compilation) -> Build:
    """`assemble`, with what can't be rewritten as a CompileError (FLR011)."""
    if not compilation.edits:
        return assemble(compilation)
    from florc.emit.rewrite import EmitError

    try:
        return assemble(compilation)
    except EmitError as error:
        raise CompileError(
            Diagnostic("FLR011", "error", str(error), error.rel, error.line)
        ) from error


def _check(arguments: argparse.Namespace, root: Path, script: Path) -> int:
    if not script.is_file():
        why = "it is a folder" if script.is_dir() else "No such file or directory"
        raise CompileError(_unreadable(str(script), why))
    stale = is_stale(
        root, script, module=arguments.module, effects=arguments.effects, directory=arguments.out
    )
    if stale and not arguments.quiet:
        say(f"{script}: the build is stale")
    return REFUSED if stale else DONE


def _dump(arguments: argparse.Namespace, compilation: Compilation) -> int:
    report(compilation.plan.diagnostics, quiet=arguments.quiet)
    name = arguments.emit
    if name == "plan":
        text = compilation.dumps.get("plan") or assemble_or_refuse(compilation).plan.to_json()
    elif name in ("record", "replay", "source-map"):
        text = _emitted(name, assemble_or_refuse(compilation), arguments.output_format == "json")
    elif arguments.output_format == "json":
        from florc.dumps import Dumps, as_json

        dumps = compilation.dumps
        text = as_json(name, dumps.sections(name)) if isinstance(dumps, Dumps) else ""
    else:
        text = compilation.dumps.get(name, "")
    sys.stdout.write(text if text.endswith("\n") or not text else text + "\n")
    return DONE


def _emitted(name: str, build: Build, as_json: bool) -> str:
    """The emitted texts, or where their lines come from, by module."""
    if name == "source-map":
        maps = {m.path: _rows(m) for m in build.plan.modules if m.emitted}
        if as_json:
            return json.dumps({"pass": name, "sections": maps}, indent=1) + "\n"
        return "\n".join(
            "\n".join([path, *(f"  {row}" for row in rows)]) + "\n" for path, rows in maps.items()
        )
    texts = build.texts(name)
    if as_json:
        sections = {path: text.splitlines() for path, text in texts.items()}
        return json.dumps({"pass": name, "sections": sections}, indent=1) + "\n"
    if list(texts) == [build.plan.script]:  # as it would be run
        return texts[build.plan.script]
    return "\n".join(f"# {path}\n{text}" for path, text in texts.items())


def _rows(module: ModulePlan) -> list[str]:
    """`emitted line -> the user's line`, and which columns are shifted, where that isn't plain."""
    rows, before = [], 0
    for emitted, (line, columns) in enumerate(module.source_map, 1):
        if columns or line != before + 1:
            shifts = "".join(f" {start}{delta:+}" for start, delta in columns)
            rows.append(f"{emitted} -> {line}" + (f":{shifts}" if shifts else ""))
        before = line
    return rows


def unified_diff(compilation: Compilation, build: Build) -> str:
    """What the record variant changes, over all modules, as a unified diff."""
    import difflib

    chunks: list[str] = []
    for module in compilation.modules:
        emitted = build.record.get(module.rel)
        if emitted is None:
            continue
        # Lines as Python and diff count them: a form feed or U+2028 ends none.
        before, after = (_lines(text) for text in (module.text, emitted))
        for line in difflib.unified_diff(before, after, module.rel, f"record/{module.rel}"):
            chunks.append(
                line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"
            )
    return "".join(chunks)


def _lines(text: str) -> list[str]:
    parts = text.split("\n")
    return [part + "\n" for part in parts[:-1]] + ([parts[-1]] if parts[-1] else [])


def _diff(
    arguments: argparse.Namespace, compilation: Compilation, build: Build, root: Path, script: Path
) -> int:
    report(build.plan.diagnostics, quiet=arguments.quiet)
    sys.stdout.write(unified_diff(compilation, build))
    if arguments.check:
        sys.stdout.flush()
        return _check(arguments, root, script)
    return _strict(arguments, build.plan)


def _strict(arguments: argparse.Namespace, plan: Plan) -> int:
    """Report what --strict refuses; the exit code."""
    if not arguments.strict:
        return DONE
    refused = [
        Diagnostic(
            "FLR005",
            "error",
            f"`{member.path}` is in the checkpoint set of loop `{loop.name}` by assumption: "
            f"{member.reason}",
            loop.file,
            member.line or loop.line,
        )
        for loop in plan.loops
        for member in loop.state
        if member.certainty == "assumed"
    ]
    report(refused, quiet=arguments.quiet)
    return REFUSED if refused else DONE


def _finish(
    arguments: argparse.Namespace, build: Build, root: Path, script: Path, stdin: str | None
) -> int:
    """Print what was asked for, write the build unless only a report was asked for.

    `stdin` is the text that came from standard input, None for a file.
    """
    plan = build.plan
    filtering = stdin is not None and arguments.out is None
    if not arguments.explain:  # the report lists them itself
        report(plan.diagnostics, quiet=arguments.quiet)
    refused = _strict(arguments, plan)
    if arguments.output_format == "json" and (arguments.explain or not refused):
        sys.stdout.write(plan.to_json())
    elif arguments.explain:
        from florc.explain import explain, recorded_sizes

        text = explain(plan, recorded_sizes(plan, root))
        if sys.stdout.isatty() and "NO_COLOR" not in os.environ:
            from florc.colours import coloured

            text = coloured(text)
        sys.stdout.write(text)
    elif stdin is not None and filtering and not refused:
        sys.stdout.write(build.record.get(plan.modules[0].path, stdin))
    if refused or arguments.explain or filtering:
        return refused
    try:
        folder = write(
            build,
            root,
            script,
            module=arguments.module,
            effects=arguments.effects,
            directory=arguments.out,
        )
    except OSError as error:
        place = error.filename or arguments.out or root
        raise Quit(BAD_INPUT, f"{place}: cannot be written: {error.strerror}") from None
    if not arguments.quiet and arguments.output_format == "text":
        loops = ", ".join(loop.name for loop in plan.loops if loop.training) or "none"
        say(f"{plan.script}: training loops: {loops} -> {folder}")
    return DONE


def _print_diagnostics(diagnostics: Sequence[Diagnostic]) -> None:
    print(json.dumps({"diagnostics": [asdict(d) for d in diagnostics]}, indent=1, sort_keys=True))
