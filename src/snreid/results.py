"""Scores on a target, on disk beside the run that earned them: one JSON object for reading, one array file for paired tests."""

import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snreid.errors import DataError
from snreid.evaluation import evaluate, summary_with_intervals, write_features
from snreid.models.weights import write_atomically
from snreid.records import DataSet, Features, ReIDData, Scores
from snreid.runs import TargetFeatures
from snreid.training.distributed import ProcessGroup

_ARRAYS = ("average_precision", "inverse_negative_penalty", "first_rank", "query_index")


@dataclass(frozen=True)
class Result:
    """What a model is worth on one target."""

    target: str
    scores: Scores
    data: str = ""
    """``fingerprint`` of the data scored on; empty when there was no data set, only embeddings."""

    def to_json(self) -> dict[str, Any]:
        """One object: ``target``, the shares of ``evaluation.summary`` with 95 % intervals."""
        return {"target": self.target, **summary_with_intervals(self.scores)}


def read_targets(targets: Sequence[DataSet], root: Path) -> tuple[ReIDData, ...]:
    """Targets as they are below the data folder ``root``, so that what cannot be scored is known before any training.

    Raises ``DataError`` for a target without query or gallery images, and for two that would share one result file.
    """
    names = [target.name for target in targets]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise DataError(
            "Each target has a name of its own", came=f"{twice[0]} twice", repair="leave one out, or rename its folder"
        )
    data = tuple(target.read(root) for target in targets)
    for found in data:
        if not len(found.query) or not len(found.gallery):
            raise DataError(
                "A target has query and gallery images",
                came=f"{found.name} with {len(found.query)} query and {len(found.gallery)} gallery images",
                repair="add images to both, or name another target",
            )
    return data


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


def fingerprint(data: ReIDData) -> str:
    """A digest of a target's query and gallery (names, persons, cameras): the same name may stand for other images tomorrow."""
    digest = sha256()
    for split in (data.query, data.gallery):
        digest.update(b"\0".join(s.image.name.encode("utf-8", "surrogateescape") for s in split.samples))
        digest.update(split.persons.tobytes() + split.cameras.tobytes())
    return digest.hexdigest()


def save_result(folder: Path, result: Result, found: TargetFeatures | None = None) -> None:
    """Writes ``evaluation/TARGET.json`` and ``.npz`` below the run ``folder``; with ``found`` also the embeddings.

    Embeddings of an earlier scoring are removed when there are no new ones, so that what lies together belongs together.
    """
    place = folder / "evaluation"
    place.mkdir(parents=True, exist_ok=True)
    write_atomically(place / f"{result.target}.json", (json.dumps(result.to_json(), indent=2) + "\n").encode())
    arrays = {name: getattr(result.scores, name) for name in _ARRAYS}
    draft = place / f".{result.target}.tmp.npz"
    np.savez(draft, queries=np.int64(result.scores.queries), data=np.str_(result.data), **arrays)
    draft.replace(place / f"{result.target}.npz")
    stored = features_path(folder, result.target)
    if found is not None:
        write_features(stored, found.query, found.gallery)
    else:
        stored.unlink(missing_ok=True)


def features_path(folder: Path, target: str) -> Path:
    """Where ``save_result`` keeps the embeddings of a target."""
    return folder / "evaluation" / f"{target}-features.npz"


def read_result(folder: Path, data: ReIDData) -> Result | None:
    """What ``save_result`` wrote for a target; None when there is nothing, or it was scored on other images or labels.

    Raises ``DataError`` when the file is damaged.
    """
    path = folder / "evaluation" / f"{data.name}.npz"
    if not path.is_file():
        return None
    try:
        with np.load(BytesIO(path.read_bytes()), allow_pickle=False) as stored:
            arrays: dict[str, NDArray[Any]] = {name: stored[name] for name in _ARRAYS}
            scored_on = str(stored["data"]) if "data" in stored else ""
            found = Result(data.name, Scores(**arrays, queries=int(stored["queries"])), scored_on)
    except (OSError, ValueError, KeyError, EOFError, TypeError, zipfile.BadZipFile) as error:
        raise DataError(
            "Saved scores must be whole", came=f"{path}: {error}", repair="delete the file and evaluate again"
        ) from error
    return found if found.data == fingerprint(data) else None


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
