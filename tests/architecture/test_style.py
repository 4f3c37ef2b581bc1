"""The bars the code keeps: sizes, docstrings, types, words, and constructions that are not allowed at all."""

import ast
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

Function = ast.FunctionDef | ast.AsyncFunctionDef
LONGEST_FUNCTION, LONGEST_FILE = 60, 500
# Weights that a person asks for by name are fetched, by this one file, which says so.
EXCEPTIONS = {("models/pretrained.py", "nothing downloads")}
SHORT_WORDS = re.compile(r"(?<![a-z])(pids?|cam_?ids?|qf|gf|q_?pids?|g_?pids?|camids?)(?![a-z])")


def _functions(tree: ast.AST) -> Iterator[Function]:
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def _length(function: Function) -> int:
    """Lines without the docstring."""
    docstring = ast.get_docstring(function, clean=False) or ""
    return (function.end_lineno or 0) - function.lineno + 1 - len(docstring.splitlines())


def _calls(tree: ast.AST, name: str) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == name:
            yield node


def test_functions_are_short(sources: Sequence[Any]) -> None:
    long = [
        f"{s.name}: {f.name} ({_length(f)})"
        for s in sources
        for f in _functions(s.tree)
        if _length(f) > LONGEST_FUNCTION
    ]
    assert not long, f"functions over {LONGEST_FUNCTION} lines: {long}"


def test_files_are_short(sources: Sequence[Any], root: Path) -> None:
    files = [s.path for s in sources] + sorted((root / "tests").rglob("*.py"))
    lengths = {str(path.relative_to(root)): len(path.read_text(encoding="utf-8").splitlines()) for path in files}
    long = {name: lines for name, lines in lengths.items() if lines > LONGEST_FILE}
    assert not long, f"files over {LONGEST_FILE} lines: {long}"


def test_public_things_and_modules_have_docstrings(sources: Sequence[Any]) -> None:
    bare = [s.name for s in sources if s.text.strip() and not ast.get_docstring(s.tree)]
    for source in sources:
        for node in ast.walk(source.tree):
            public = isinstance(node, Function | ast.ClassDef) and not node.name.startswith("_")
            if public and not ast.get_docstring(node):
                bare.append(f"{source.name}: {node.name}")
    assert not bare, f"without a docstring: {bare}"


def test_every_signature_is_typed(sources: Sequence[Any]) -> None:
    untyped = []
    for source in sources:
        for function in _functions(source.tree):
            arguments = function.args
            every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
            bare = [a.arg for a in every if a is not None and a.annotation is None and a.arg not in ("self", "cls")]
            if bare or function.returns is None:
                untyped.append(f"{source.name}: {function.name}({', '.join(bare)})")
    assert not untyped, f"untyped: {untyped}"


def test_only_the_command_line_prints(sources: Sequence[Any]) -> None:
    prints = [
        f"{s.name}:{call.lineno}"
        for s in sources
        if not s.name.startswith(("cli", "__main__"))
        for call in _calls(s.tree, "print")
    ]
    assert not prints, f"print outside the command line: {prints}"


def test_the_words_of_the_field_are_written_in_full(sources: Sequence[Any]) -> None:
    short = []
    for source in sources:
        names = {node.id for node in ast.walk(source.tree) if isinstance(node, ast.Name)}
        names |= {node.arg for node in ast.walk(source.tree) if isinstance(node, ast.arg)}
        names |= {node.attr for node in ast.walk(source.tree) if isinstance(node, ast.Attribute)}
        short += [f"{source.name}: {name}" for name in sorted(names) if SHORT_WORDS.search(name)]
    assert not short, f"write person, camera, query, gallery in full: {short}"


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        (r"weights_only\s*=\s*False", "a weight file must not be able to run code"),
        (
            r"^\s*(?!from joblib import cpu_count\b(?!,))(?:import|from)\s+(?:pickle|dill|joblib|cloudpickle)\b",
            "nothing is ever unpickled",
        ),
        (
            r"torchvision\s*(?:\.\s*io\b|import\s+io\b)|decode_image",
            "torchvision.io crashes the process on a corrupt file",
        ),
        (r"from __future__ import annotations", "jaxtyping's run-time checks want real annotations"),
        (
            r"\b(?:urllib\.request|requests|httpx|urlopen|urlretrieve|hf_hub_download|snapshot_download)\b",
            "nothing downloads",
        ),
        (r"#\s*(?:TODO|FIXME|XXX)\b", "what is not done stands in an issue, not in the code"),
    ],
)
def test_the_source_never_contains(pattern: str, why: str, sources: Sequence[Any]) -> None:
    hits = [
        f"{s.name}:{number}"
        for s in sources
        for number, line in enumerate(s.text.splitlines(), start=1)
        if re.search(pattern, line) and (s.name, why) not in EXCEPTIONS
    ]
    assert not hits, f"{why}: {hits}"


def test_every_torch_load_names_weights_only(sources: Sequence[Any]) -> None:
    loose = []
    for source in sources:
        for call in _calls(source.tree, "torch.load"):
            words = {word.arg: word.value for word in call.keywords}
            value = words.get("weights_only")
            if not (isinstance(value, ast.Constant) and value.value is True):
                loose.append(f"{source.name}:{call.lineno}")
    assert not loose, f"torch.load without weights_only=True: {loose}"
