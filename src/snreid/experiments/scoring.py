"""Scores on a target, on disk beside the run that earned them: one JSON object for reading, one array file for paired tests."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from snreid.datasets import FolderTree, Table, require_name, require_unseen_persons
from snreid.errors import DataError, ExperimentError
from snreid.evaluation import (
    ReRanking,
    check_values,
    evaluate,
    evaluate_reranked,
    match_ranks,
    score_ranks,
    summary_with_intervals,
    write_features,
)
from snreid.experiments.targets import TargetFeatures, without
from snreid.records import DataSet, Features, ReIDData, Sample, Scores, fingerprint
from snreid.system.atomic_files import atomic_write, write_json
from snreid.training.distributed import ProcessGroup

_ARRAYS = ("average_precision", "inverse_negative_penalty", "first_rank", "query_index")


@dataclass(frozen=True)
class Result:
    """What a model is worth on one target."""

    target: str
    scores: Scores
    used: ReIDData | None = None
    """The images that were scored: the target less those left out. None when there was no data set, only embeddings."""
    left_out: tuple[str, ...] = ()
    """Names of images that could not be read and were left out, each once (``--skip-bad``)."""
    reranked: "Reranked | None" = None
    """Scores of the same after re-ranking, where somebody asked for them."""

    @property
    def data(self) -> str:
        """``fingerprint`` of the images that were scored; empty when there was no data set."""
        return "" if self.used is None else fingerprint(self.used.query, self.used.gallery)

    def to_json(self) -> dict[str, Any]:
        """One object: ``target``, ``split`` (which of several splits it was scored on, with the hash of its file; empty where
        there is one only), and the shares of ``evaluation.summary`` with 95 % intervals; ``reranked`` with the same shares
        where there are such scores."""
        split = "" if self.used is None else self.used.split_id
        again = {} if self.reranked is None else {"reranked": self.reranked.to_json()}
        return {"target": self.target, "split": split, **summary_with_intervals(self.scores), **again}


@dataclass(frozen=True)
class Reranked:
    """Scores that are not comparable with plain ones: queries and gallery were used as one set."""

    how: ReRanking
    scores: Scores

    def to_json(self) -> dict[str, Any]:
        """One object: ``how`` in words, ``k1``, ``k2``, ``lambda``, and the shares with 95 % intervals."""
        settings = {"k1": self.how.k1, "k2": self.how.k2, "lambda": self.how.weight}
        return {"how": str(self.how), **settings, **summary_with_intervals(self.scores)}


def with_reranking(result: Result, query: Features, gallery: Features, metric: str, how: ReRanking) -> Result:
    """A result with the scores of its embeddings after re-ranking beside its own. Under several processes each does the whole."""
    scores = evaluate_reranked(query, gallery, reranking=how, metric=metric)
    return replace(result, reranked=Reranked(how, scores))


def read_targets(targets: Sequence[DataSet], root: Path, *, trained_on: Sequence[DataSet] = ()) -> tuple[ReIDData, ...]:
    """Targets as they are below the data folder ``root``, so that what cannot be scored is known before any training.

    Raises ``DataError`` for a target without query or gallery images, for a name that no file can have, and for two targets that
    would share one result file; ``ExperimentError`` for a target whose people are among those ``trained_on``.
    """
    for target in targets:
        require_unseen_persons(trained_on, target)
    names = [target.name for target in targets]
    for name in names:
        require_name(name)
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise DataError(
            "Each target has a name of its own",
            found=f"{twice[0]} twice",
            fix="leave one out, or give one a name, for example --target DIR:name=shop-a",
        )
    data = tuple(target.read(root) for target in targets)
    for target, found in zip(targets, data, strict=True):
        _require_test(target, found)
    return data


def _require_test(target: DataSet, found: ReIDData) -> None:
    if len(found.query) and len(found.gallery):
        return
    if isinstance(target, FolderTree | Table) and not len(found.query) and not len(found.gallery):
        raise DataError(
            "A target has query and gallery images",
            found=f"{found.name}: all its {len(found.train)} images are for training",
            fix="say which are for the test: {split} in the pattern of its paths, a column split in its table; or all of "
            "them, by the option labels.role=test (in Python Labels(role='test'))",
        )
    raise DataError(
        "A target has query and gallery images",
        found=f"{found.name} with {len(found.query)} query and {len(found.gallery)} gallery images",
        fix="add images to both, or name another target",
    )


def score(found: TargetFeatures, metric: str, group: ProcessGroup | None = None) -> Result:
    """Scores of a target. Under several processes each ranks a contiguous part of the queries and all get the whole; the values are
    those of one process, because a query's rank depends on no other query.

    Raises ``DataError`` as ``evaluate`` does, in every process.
    """
    return Result(found.used.name, _scores(found, metric, group), found.used, found.left_out)


def _scores(found: TargetFeatures, metric: str, group: ProcessGroup | None) -> Scores:
    if group is None or group.world == 1:
        return evaluate(found.query, found.gallery, metric=metric, device=_device(group))
    # All look at everything first: what stops one stops all, with the same words, and nobody waits for a process that is gone.
    check_values(found.query, found.gallery)
    count = len(found.query.persons)
    first, last = group.rank * count // group.world, (group.rank + 1) * count // group.world
    part = _scores_of(found, slice(first, last), metric, _device(group))
    merged = {name: np.concatenate(group.gather_arrays(values)) for name, values in part.items()}
    if not len(merged["query_index"]):
        return evaluate(found.query, found.gallery, metric=metric)  # raises, saying why no query is valid
    return Scores(**merged, queries=count)


def _device(group: ProcessGroup | None) -> str:
    return "cpu" if group is None else str(group.device)


def save_result(folder: Path, result: Result, found: TargetFeatures | None = None) -> None:
    """Writes ``evaluation/TARGET.json`` and ``.npz`` below the run ``folder``; with ``found`` also ``embeddings/TARGET.npz``.

    Embeddings of an earlier scoring are removed when there are no new ones, so that what lies together belongs together.
    """
    place = folder / "evaluation"
    write_json(place / f"{result.target}.json", result.to_json())
    arrays: dict[str, Any] = {name: getattr(result.scores, name) for name in _ARRAYS}
    arrays |= {"data": np.str_(result.data), "left_out": np.array(result.left_out, dtype=np.str_)}
    with atomic_write(place / f"{result.target}.npz") as draft, draft.open("wb") as file:
        np.savez_compressed(file, queries=np.int64(result.scores.queries), **arrays)
    stored = features_path(folder, result.target)
    if found is not None:
        write_features(stored, found.query, found.gallery)
    else:
        stored.unlink(missing_ok=True)


def keep_result(folder: Path | None, result: Result, console: Console) -> None:
    """``save_result`` where it can be done; where it cannot, a remark on ``console``: hours of scoring are worth more than their file.
    ``folder``: None keeps nothing."""
    if folder is None:
        return
    try:
        require_name(result.target)
        save_result(folder, result)
    except (OSError, DataError, ExperimentError) as error:
        console.out(f"The scores on {result.target} could not be kept: {error}", highlight=False)


def features_path(folder: Path, target: str) -> Path:
    """Where ``save_result`` keeps the embeddings of a target: in a folder of their own, so that no other target's scores can be there."""
    return folder / "evaluation" / "embeddings" / f"{target}.npz"


def read_result(folder: Path, data: ReIDData, *, skip_bad: bool = False) -> Result | None:
    """What ``save_result`` wrote for a target; None when there is nothing, or it was scored on other images or labels.

    ``skip_bad``: take scores without images that could not be read, as long as none of these can be read now. Raises ``DataError``
    when the file is damaged.
    """
    path = folder / "evaluation" / f"{data.name}.npz"
    if not path.is_file():
        return None
    try:
        with np.load(BytesIO(path.read_bytes()), allow_pickle=False) as stored:
            arrays: dict[str, NDArray[Any]] = {name: stored[name] for name in _ARRAYS}
            scores = Scores(**arrays, queries=int(stored["queries"]))
            # What an earlier version left out is not known: its scores are made again.
            scored_on = str(stored["data"]) if "left_out" in stored else ""
            bad = {str(name) for name in stored["left_out"]} if "left_out" in stored else set()
    except Exception as error:  # A damaged file makes zipfile, zlib and numpy raise a dozen different types.
        raise DataError(
            "Saved scores must be whole",
            found=f"{path}: {type(error).__name__}: {error}",
            fix="delete the file and evaluate again",
        ) from error
    gone = {s.image.name: s for split in (data.query, data.gallery) for s in split.samples if s.image.name in bad}
    found = Result(data.name, scores, without(data, set(gone)), tuple(gone))
    if found.data != scored_on or (gone and not (skip_bad and not any(map(_readable, gone.values())))):
        return None
    return found


def require_same_images(one: Result, other: Result, *, where: str) -> None:
    """Raise ``ExperimentError`` unless two scores of a target were made of the same images. ``where``: whose they are, for the message."""
    if one.data != other.data:
        raise ExperimentError(
            "Scores that are compared are made of the same images",
            found=f"{one.target} without {len(one.left_out)} and without {len(other.left_out)} unreadable images ({where})",
            fix=f"restore the images, or delete evaluation/{one.target}.npz in both folders and score again",
        )


def _readable(sample: Sample) -> bool:
    try:
        sample.image.read()
    except DataError:
        return False
    return True


def _scores_of(found: TargetFeatures, part: slice, metric: str, device: str) -> dict[str, NDArray[Any]]:
    query = found.query
    mine = Features(query.embeddings[part], query.persons[part], query.cameras[part], query.names[part])
    # Of this part no query may be valid while others are; whether all are invalid is decided on the whole.
    scores = score_ranks(match_ranks(mine, found.gallery, metric=metric, device=device) if len(mine.persons) else ())
    arrays = {name: getattr(scores, name) for name in _ARRAYS}
    return arrays | {"query_index": scores.query_index + part.start}
