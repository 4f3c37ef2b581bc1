"""Scores on a target, on disk beside the run that earned them: one JSON object for reading, one array file for paired tests."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snreid.errors import DataError
from snreid.evaluation import evaluate, summary_with_intervals, write_features
from snreid.models.weights import write_atomically
from snreid.records import Features, Scores
from snreid.runs import TargetFeatures
from snreid.training.distributed import ProcessGroup

_ARRAYS = ("average_precision", "inverse_negative_penalty", "first_rank", "query_index")


@dataclass(frozen=True)
class Result:
    """What a model is worth on one target."""

    target: str
    scores: Scores

    def to_json(self) -> dict[str, Any]:
        """One object: ``target``, the shares of ``evaluation.summary`` with 95 % intervals."""
        return {"target": self.target, **summary_with_intervals(self.scores)}


def score(found: TargetFeatures, metric: str, group: ProcessGroup | None = None) -> Scores:
    """Scores of a target. Under several processes each ranks a contiguous part of the queries and all get the whole; the values are
    those of one process, because a query's rank depends on no other query."""
    if group is None or group.world == 1:
        return evaluate(found.query, found.gallery, metric=metric)
    count = len(found.query.persons)
    first, last = group.rank * count // group.world, (group.rank + 1) * count // group.world
    part = _scores_of(found, slice(first, last), metric)
    merged = {name: np.concatenate(group.gather_arrays(values)) for name, values in part.items()}
    if not len(merged["query_index"]):
        return evaluate(found.query, found.gallery, metric=metric)  # raises, saying why no query is valid
    return Scores(**merged, queries=count)


def save_result(folder: Path, result: Result, found: TargetFeatures | None = None) -> None:
    """Writes ``evaluation/TARGET.json`` and ``.npz`` below the run ``folder``; with ``found`` also the embeddings."""
    place = folder / "evaluation"
    place.mkdir(parents=True, exist_ok=True)
    write_atomically(place / f"{result.target}.json", (json.dumps(result.to_json(), indent=2) + "\n").encode())
    arrays = {name: getattr(result.scores, name) for name in _ARRAYS}
    draft = place / f".{result.target}.tmp.npz"
    np.savez(draft, queries=np.int64(result.scores.queries), **arrays)
    draft.replace(place / f"{result.target}.npz")
    if found is not None:
        write_features(place / f"{result.target}-features.npz", found.query, found.gallery)


def read_result(folder: Path, target: str) -> Result | None:
    """What ``save_result`` wrote, or None. Raises ``DataError`` when the file is damaged."""
    path = folder / "evaluation" / f"{target}.npz"
    if not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays: dict[str, NDArray[Any]] = {name: stored[name] for name in _ARRAYS}
            return Result(target, Scores(**arrays, queries=int(stored["queries"])))
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise DataError(
            "Saved scores must be whole", came=f"{path}: {error}", repair="delete the file and evaluate again"
        ) from error


def _scores_of(found: TargetFeatures, part: slice, metric: str) -> dict[str, NDArray[Any]]:
    query = found.query
    mine = Features(query.embeddings[part], query.persons[part], query.cameras[part], query.names[part])
    empty: dict[str, NDArray[Any]] = {
        "average_precision": np.zeros(0),
        "inverse_negative_penalty": np.zeros(0),
        "first_rank": np.zeros(0, np.int64),
        "query_index": np.zeros(0, np.int64),
    }
    if not len(mine.persons):
        return empty
    try:
        scores = evaluate(mine, found.gallery, metric=metric)
    except DataError:
        # Of this part no query may be valid while others are; whether all are invalid is decided on the whole.
        return empty
    arrays = {name: getattr(scores, name) for name in _ARRAYS}
    return arrays | {"query_index": scores.query_index + part.start}
