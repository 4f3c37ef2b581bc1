"""An experiment file written by hand as JSON or YAML, with errors that name the line."""

import json
import re
from pathlib import Path
from typing import Any

import yaml

from snreid.errors import ExperimentError
from snreid.experiments.experiment import Experiment
from snreid.experiments.serialization import draft_from_json
from snreid.records import DataSet


class _Loader(yaml.SafeLoader):
    """Reads 1e-3 as a number, as YAML 1.2 does; PyYAML implements 1.1, where it is text. Refuses a key that is given twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """As in the base class, which takes the last of equal keys."""
        seen = set[Any]()
        for key, _ in node.value:
            if key.tag != "tag:yaml.org,2002:merge" and key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"{key.value!r} is given twice", key.start_mark)
            seen.add(key.value if isinstance(key, yaml.ScalarNode) else id(key))
        made: dict[Any, Any] = super().construct_mapping(node, deep)
        return made


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)


def read_experiment(path: Path, *, draft: bool = False) -> Experiment:
    """Reads an experiment file, or the ``experiment.json`` of a run.

    Args:
        path: A file that ends in ``.json``, ``.yaml`` or ``.yml``.
        draft: Whether settings may contradict each other, because flags will change them.

    Raises:
        ExperimentError: The file cannot be read, is not valid JSON or YAML, or a setting in it is wrong; with the line if there is one.
    """
    if not path.is_file():
        raise ExperimentError("An experiment file must exist", found=f"no file {path}", fix="check the path")
    try:
        text = path.read_text(encoding="utf-8-sig")  # editors of Windows begin with a mark
        stored = json.loads(text) if path.suffix == ".json" else yaml.load(text, _Loader)  # a SafeLoader
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise ExperimentError(
            "An experiment file must be JSON or YAML",
            found=f"{path}{_place(error)}",
            fix="check the path" if isinstance(error, OSError) else "correct the file there",
        ) from error
    nested = isinstance(stored, dict) and "experiment" in stored
    if isinstance(stored, dict) and "adaptation" in stored:
        raise ExperimentError(
            "An adapted run is made from the run that it started from",
            found=f"{path}, the file of an adaptation",
            fix="use snreid adapt, or train by the experiment.json of the run that was adapted",
        )
    inner = stored["experiment"] if nested else stored
    try:
        return draft_from_json(Experiment, inner, checked=DataSet) if draft else Experiment.from_json(inner)
    except ExperimentError as error:
        line = _line(text, error, nested=nested)
        raise ExperimentError(error.rule, found=f"{error.found} in {path}{line}", fix=error.fix) from error


def _place(error: Exception) -> str:
    """The error in a file and, if the parser reports it, its line."""
    if isinstance(error, json.JSONDecodeError):
        return f", line {error.lineno}: {error.msg}"
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        return f", line {error.problem_mark.line + 1}: {error.problem}"
    return f": {error}"


def _line(text: str, error: ExperimentError, *, nested: bool) -> str:
    """The line of the setting that ``error`` names by its path, as ", line 7"; empty if unknown."""
    try:
        node: Any = yaml.compose(text, _Loader)
    except yaml.YAMLError:  # JSON that is not YAML, for example with tabs
        return ""
    path = re.search(r"\bexperiment((?:\.\w+|\[\d+\])*)", error.rule)
    names = ["experiment"] * nested + re.findall(r"\w+", path[1] if path else "")
    for name in [*names, error.found.strip("'")]:
        if isinstance(node, yaml.SequenceNode) and name.isdecimal():
            node = node.value[int(name)]
        elif isinstance(node, yaml.MappingNode):
            node = next(
                (key if value.id == "scalar" else value for key, value in node.value if key.value == name), node
            )
    return f", line {node.start_mark.line + 1}" if node is not None else ""
