"""Documents agree with the code: Python blocks run, files and functions that are named exist, dependencies are listed."""

import ast
import os
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    page
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
    if page.is_file()
]
# A block that cannot run here (it needs somebody's data) is marked above with `<!-- not run: why -->`.
BLOCK = re.compile(r"^(?P<mark><!-- not run: .+ -->\n+)?```python\n(?P<code>.*?)^```", flags=re.M | re.S)
BLOCKS = [
    pytest.param(
        match["code"], id=f"{page.name}:{page.read_text(encoding='utf-8')[: match.start('code')].count(chr(10)) + 1}"
    )
    for page in PAGES
    for match in BLOCK.finditer(page.read_text(encoding="utf-8"))
    if not match["mark"]
]
# `models/snr.py: closed_form` in a page names a function, class or Class.method of that file.
NAMED = re.compile(r"`(?:src/snreid/)?(?P<file>[a-z0-9_/]+\.py)(?:: (?P<name>[A-Za-z_][\w.]*))?`")


@pytest.mark.slow
@pytest.mark.parametrize("code", BLOCKS)
def test_every_python_block_runs(code: str, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}  # from another folder a relative one is void
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_named_in_a_page_exist(page: Path) -> None:
    from snreid.cli import COMMANDS

    text = page.read_text(encoding="utf-8")
    fenced = "\n".join(re.findall(r"^```(?:bash|sh|shell|console)\n(.*?)^```", text, flags=re.M | re.S))
    inline = re.findall(r"(?:^ {4,}|`|\$ |bin/)(snreid|make) ([a-z][\w-]*)", text, flags=re.M)
    said = [*inline, *re.findall(r"^(?:\$ )?(?:\S*/)?(snreid|make) ([a-z][\w-]*)", fenced, flags=re.M)]
    named = {word for program, word in said if program == "snreid"}
    targets = {word for program, word in said if program == "make"}
    rules = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.M))
    assert named <= set(COMMANDS), f"{page.name} names commands that are not there: {sorted(named - set(COMMANDS))}"
    assert targets <= rules, f"{page.name} names make targets that are not there: {sorted(targets - rules)}"


def _names(tree: ast.Module) -> set[str]:
    """Top-level functions, classes and values, and Class.member of every class."""
    names: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        if isinstance(node, ast.ClassDef):
            names |= {f"{node.name}.{item.name}" for item in node.body if isinstance(item, ast.FunctionDef)}
            names |= {f"{node.name}.{item.target.id}" for item in node.body if isinstance(item, ast.AnnAssign)}  # type: ignore[union-attr]
        if isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.add(node.target.id)
    return names


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_code_named_in_a_page_exists(page: Path) -> None:
    missing = []
    for match in NAMED.finditer(page.read_text(encoding="utf-8")):
        if Path(match["file"]).stem.removeprefix("test_") == "x":  # stands for any name
            continue
        places = [base / match["file"] for base in (ROOT / "src" / "snreid", ROOT)]
        path = next((place for place in places if place.is_file()), None)
        name = match["name"]
        if path is None or (name and name not in _names(ast.parse(path.read_text(encoding="utf-8")))):
            missing.append(match[0])
    assert not missing, f"{page.name} names what is not there: {missing}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_files_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?://|#|mailto:)([^)#\s]+)", page.read_text(encoding="utf-8"))
    missing = [target for target in targets if not (page.parent / target).exists()]
    assert not missing, f"{page.name} links to what is not there: {missing}"


def test_every_decision_and_log_page_is_in_the_index() -> None:
    docs = ROOT / "docs"
    linked = set(re.findall(r"\]\(((?:decisions|log)/[^)]+)\)", (docs / "decisions.md").read_text(encoding="utf-8")))
    pages = {
        page.relative_to(docs).as_posix() for folder in ("decisions", "log") for page in (docs / folder).glob("*.md")
    }
    assert linked == pages


def _runtime_closure() -> dict[str, metadata.Distribution]:
    """Distributions a plain `pip install snreid` brings on this machine, by normalized name."""
    from packaging.requirements import Requirement

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    closure: dict[str, metadata.Distribution] = {}
    queue = [Requirement(line) for line in project["dependencies"]]
    while queue:
        wanted = queue.pop()
        name = wanted.name.lower().replace("_", "-")
        if name in closure:
            continue
        closure[name] = found = metadata.distribution(wanted.name)
        for line in found.requires or []:
            needed = Requirement(line)
            if needed.marker is None or any(needed.marker.evaluate({"extra": e}) for e in (*wanted.extras, "")):
                queue.append(needed)
    return closure


def test_the_notice_lists_every_direct_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = [*project["dependencies"], *(line for extra in project["optional-dependencies"].values() for line in extra)]
    names = {re.match(r"[A-Za-z0-9-]+", line)[0] for line in asked} - {"snreid"}  # type: ignore[index]
    notice = (ROOT / "NOTICE").read_text(encoding="utf-8").lower()
    missing = sorted(name for name in names if not re.search(rf"^\s*{re.escape(name)}\b", notice, flags=re.M))
    assert not missing, f"NOTICE does not list {missing}"


def test_no_copyleft_in_what_a_user_installs() -> None:
    """R30: no GPL or AGPL in the runtime closure (NVIDIA's own packages come with torch and have their own terms)."""
    copyleft = []
    for name, found in _runtime_closure().items():
        classifiers = found.metadata.get_all("Classifier") or []
        first_line = (found.metadata.get("License") or "").splitlines()[:1]  # some put the whole text there
        stated = " ".join([found.metadata.get("License-Expression") or "", *classifiers, *first_line])
        if re.search(r"(?<!L)(?<!Lesser )\bA?GPL|GNU (?:Affero )?General Public", stated):
            copyleft.append(f"{name}: {stated}")
    assert not copyleft, copyleft


def test_the_table_of_counts_is_what_the_readers_expect() -> None:
    from snreid.cli.names import dataset_named, known_names

    page = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([\w-]+)` \| (\w+) \| ([\d,]+) \| ([\d,]+) \| (\d+|-) \|$", page, flags=re.M)
    shown = {(name, split): tuple(numbers) for name, split, *numbers in rows}
    readers = {data.name.removesuffix("-split0"): data for data in map(dataset_named, known_names())}
    expected = {
        (name, e.split): (f"{e.images:,}", f"{e.persons:,}", f"{e.cameras or '-'}")
        for name, reader in readers.items()
        for e in reader.expected
    }
    assert shown == expected


def test_the_table_of_folders_is_where_the_readers_look(tmp_path: Path) -> None:
    from snreid.cli.names import dataset_named, known_names
    from snreid.errors import DataError

    page = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
    shown = dict(
        re.findall(
            r"^\| `([\w-]+)` \| ((?:the data folder itself, )?`[^|]+`) \|$",
            page.partition("looked for in |")[2],
            flags=re.M,
        )
    )
    made = {data.name for data in map(dataset_named, known_names()) if "by this program" in data.home}
    assert shown.keys() == set(known_names()) - made - {"cuhk03-detected", "cuhk03-labelled"}
    for name, folders in shown.items():
        with pytest.raises(DataError) as missing:
            dataset_named("dukemtmc:withdrawn_ok=true" if name == "dukemtmc" else name).read(tmp_path)
        found = (
            (missing.value.found or "")
            .partition(" (the data folder")[0]
            .removesuffix(f" of {tmp_path}")
            .removesuffix(f" in {tmp_path}")
        )
        assert found.endswith(" " + ", ".join(re.findall(r"`([^`]+)`", folders))), name
        assert (f"{tmp_path}, nor" in found) == folders.startswith("the data folder itself"), name
