"""Scores of a run on a target, stored in its folder: a JSON summary, and an array file for paired tests."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snreid.datasets import FolderTree, Table, require_name, require_unseen_persons
from snreid.datasets.copies import copied_queries, copies_note
from snreid.errors import DataError, ExperimentError
from snreid.evaluation import (
    ReRanking,
    check_values,
    evaluate,
    evaluate_reranked,
    few_persons,
    match_ranks,
    score_ranks,
    summary_with_intervals,
    write_features,
)
from snreid.experiments.runs import Run
from snreid.experiments.targets import TargetFeatures, embed_target, without
from snreid.records import DataSet, Features, ReIDData, Sample, Scores, fingerprint
from snreid.system.archives import check_arrays
from snreid.system.atomic_files import atomic_write, write_json
from snreid.training.distributed import ProcessGroup
from snreid.training.session import Session

_ARRAYS = ("average_precision", "inverse_negative_penalty", "first_rank", "query_index")


@dataclass(frozen=True)
class Result:
    """The scores of a model on one target."""

    target: str
    scores: Scores
    used: ReIDData | None = None
    """The scored images: the target without those left out. None if there was no data set, only embeddings."""
    left_out: tuple[str, ...] = ()
    """Names of unreadable images that were left out, each once (``--skip-bad``)."""
    copies: int = 0
    """Queries with a copy of their own file among their matches (``datasets/copies.py``)."""
    reranked: "Reranked | None" = None
    """Scores of the same images after re-ranking, if requested."""

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences on what the scores cannot tell."""
        few = few_persons(len(np.unique(self.scores.persons)))
        return tuple(note for note in (few, copies_note(self.copies, self.scores.queries)) if note)

    @property
    def data(self) -> str:
        """``fingerprint`` of the scored images; empty if there was no data set."""
        return "" if self.used is None else fingerprint(self.used.query, self.used.gallery)

    def to_json(self) -> dict[str, Any]:
        """Returns ``target``, ``split`` (which of several splits was scored, with the hash of its file; empty if there is only
        one), the shares of ``evaluation.summary`` with 95 % intervals, and ``notes``; with re-ranking also ``reranked`` with the
        same shares."""
        split = "" if self.used is None else self.used.split_id
        again = {} if self.reranked is None else {"reranked": self.reranked.to_json()}
        found = summary_with_intervals(self.scores)
        return {"target": self.target, "split": split, **found, "notes": list(self.notes), **again}


@dataclass(frozen=True)
class Reranked:
    """Scores after re-ranking; not comparable with plain ones, because queries and gallery are used as one set."""

    how: ReRanking
    scores: Scores

    def to_json(self) -> dict[str, Any]:
        """Returns a description ``how``, ``k1``, ``k2``, ``lambda``, and the shares with 95 % intervals."""
        settings = {"k1": self.how.k1, "k2": self.how.k2, "lambda": self.how.weight}
        return {"how": str(self.how), **settings, **summary_with_intervals(self.scores)}


def with_reranking(result: Result, query: Features, gallery: Features, metric: str, how: ReRanking) -> Result:
    """Returns the result with re-ranked scores of its embeddings. Each of several processes computes all of them."""
    scores = evaluate_reranked(query, gallery, reranking=how, metric=metric)
    return replace(result, reranked=Reranked(how, scores))


def score_run(run: Run, data: Sequence[ReIDData], session: Session, *, embeddings: bool = False) -> list[Result]:
    """Scores a finished run on targets (from ``read_targets``), one result for each. Reuses scores stored in its folder.

    ``embeddings``: also store the embeddings of each target; a folder that cannot be written then raises ``OSError`` instead of printing
    a remark. Raises ``CheckpointError`` if the run is not finished or its weights are damaged, ``DataError`` if an image cannot be read or
    stored scores are damaged.
    """
    results = []
    embedder = None
    for target in data:
        session.pixels.tell(target, session.console)
        result = read_result(run.results, target, skip_bad=session.machine.skip_bad)
        if result is None or (embeddings and not features_path(run.results, target.name).is_file()):
            embedder = embedder or run.embedder(device=session.device, bf16=session.machine.bf16)
            size = embedder.input.height, embedder.input.width
            embedded = embed_target(embedder, size, target, session, run.results)
            result = score(embedded, run.experiment.metric, session.group)
            if session.first and embeddings:
                save_result(run.results, result, embedded)
            elif session.first:
                keep_result(run.results, result, session.say)
        results.append(result)
        tell(run.experiment.recipe, result, session)
    return results


def tell(name: str, result: Result, session: Session) -> None:
    """Says the scores of a model on a target in a line, and what they cannot tell."""
    scores = result.scores
    session.say(
        f"{name:>16} on {result.target:<16} mAP {100 * scores.mean_ap:5.1f}  rank-1 {100 * scores.rank(1):5.1f}"
        f"  ({scores.queries} queries, {scores.skipped_queries} without a match"
        f"{f', {len(result.left_out)} images left out' if result.left_out else ''})"
    )
    for note in result.notes:
        session.say(f"{result.target}: {note}")


def read_targets(targets: Sequence[DataSet], root: Path, *, trained_on: Sequence[DataSet] = ()) -> tuple[ReIDData, ...]:
    """Reads targets below the data folder ``root`` and checks that they can be scored, before any training.

    Raises ``DataError`` for a target without query or gallery images, for a name that is not a valid file name, and for two targets
    that would share a result file; ``ExperimentError`` for a target whose people are among those ``trained_on``.
    """
    for target in targets:
        require_unseen_persons(trained_on, target)
    names = [target.name for target in targets]
    for name in names:
        require_name(name)
    if twice := [name for name in names if names.count(name) > 1]:
        raise DataError(
            "Each target has a name of its own",
            found=f"{twice[0]} twice",
            fix="leave one out, or give one a name, for example --target DIR:name=shop-a",
        )
    data = tuple(target.read(root) for target in targets)
    for target, read in zip(targets, data, strict=True):
        _require_test(target, read)
    return data


def _require_test(target: DataSet, data: ReIDData) -> None:
    if len(data.query) and len(data.gallery):
        return
    if isinstance(target, FolderTree | Table) and not len(data.query) and not len(data.gallery):
        raise DataError(
            "A target has query and gallery images",
            found=f"{data.name}: all its {len(data.train)} images are for training",
            fix="say which are for the test: {split} in the pattern of its paths, a column split in its table; or all of "
            "them, by the option labels.role=test (in Python Labels(role='test'))",
        )
    raise DataError(
        "A target has query and gallery images",
        found=f"{data.name} with {len(data.query)} query and {len(data.gallery)} gallery images",
        fix="add images to both, or name another target",
    )


def score(embedded: TargetFeatures, metric: str, group: ProcessGroup | None = None) -> Result:
    """Scores a target. Each of several processes ranks a contiguous part of the queries, and all get the whole result; it equals that of
    a single process, because a query's ranks depend on no other query.

    Raises ``DataError`` as ``evaluate`` does, in every process.
    """
    scores = _scores(embedded, metric, group)
    return Result(embedded.used.name, scores, embedded.used, embedded.left_out, len(copied_queries(embedded.used)))


def _scores(embedded: TargetFeatures, metric: str, group: ProcessGroup | None) -> Scores:
    device = "cpu" if group is None else str(group.device)
    if group is None or group.world == 1:
        return evaluate(embedded.query, embedded.gallery, metric=metric, device=device)
    # Every process checks all values first, so that an error stops all of them with the same message and none waits in vain.
    check_values(embedded.query, embedded.gallery)
    count = len(embedded.query.persons)
    first, last = group.rank * count // group.world, (group.rank + 1) * count // group.world
    part = _scores_of(embedded, slice(first, last), metric, device)
    merged = {name: np.concatenate(group.gather_arrays(values)) for name, values in part.items()}
    if not len(merged["query_index"]):
        return evaluate(embedded.query, embedded.gallery, metric=metric)  # raises the error for no valid query
    return Scores(**merged, queries=count, persons=embedded.query.persons[merged["query_index"]])


def save_result(folder: Path, result: Result, embedded: TargetFeatures | None = None) -> None:
    """Writes ``evaluation/TARGET.json`` and ``.npz`` below the run ``folder``; with ``embedded`` also ``embeddings/TARGET.npz``.

    Without ``embedded``, removes embeddings of an earlier scoring, so that the stored files match.
    """
    place = folder / "evaluation"
    write_json(place / f"{result.target}.json", result.to_json())
    arrays: dict[str, Any] = {name: getattr(result.scores, name) for name in _ARRAYS}
    arrays |= {"data": np.str_(result.data), "left_out": np.array(result.left_out, dtype=np.str_)}
    with atomic_write(place / f"{result.target}.npz") as draft, draft.open("wb") as file:
        np.savez_compressed(file, queries=np.int64(result.scores.queries), copies=np.int64(result.copies), **arrays)
    stored = features_path(folder, result.target)
    if embedded is not None:
        write_features(stored, embedded.query, embedded.gallery)
    else:
        stored.unlink(missing_ok=True)


def keep_result(folder: Path, result: Result, say: Callable[[str], None]) -> None:
    """Calls ``save_result``; passes an error to ``say`` instead of raising it, so that a write failure does not lose the scores."""
    try:
        require_name(result.target)
        save_result(folder, result)
    except (OSError, DataError, ExperimentError) as error:
        say(f"The scores on {result.target} could not be kept: {error}")


def features_path(folder: Path, target: str) -> Path:
    """Path of a target's embeddings; a separate folder keeps target names from colliding with it."""
    return folder / "evaluation" / "embeddings" / f"{target}.npz"


def read_result(folder: Path, data: ReIDData, *, skip_bad: bool = False) -> Result | None:
    """Reads what ``save_result`` wrote for a target; None if there is nothing, or the scores are of other images or labels.

    ``skip_bad``: accept scores without unreadable images, as long as these are still unreadable. Raises ``DataError`` for a damaged
    file.
    """
    path = folder / "evaluation" / f"{data.name}.npz"
    if not path.is_file():
        return None
    try:
        content = BytesIO(path.read_bytes())
        check_arrays(content)
        with np.load(content, allow_pickle=False) as stored:
            arrays: dict[str, NDArray[Any]] = {name: stored[name] for name in _ARRAYS}
            queries = int(stored["queries"])
            copies = int(stored["copies"]) if "copies" in stored else 0
            # An earlier version did not store which images it left out, so its scores are recomputed.
            scored_on = str(stored["data"]) if "left_out" in stored else ""
            bad = {str(name) for name in stored["left_out"]} if "left_out" in stored else set()
    except Exception as error:  # zipfile, zlib and numpy raise a dozen types for a damaged file
        raise DataError(
            "Saved scores must be whole",
            found=f"{path}: {type(error).__name__}: {error}",
            fix="delete the file and evaluate again",
        ) from error
    gone = {s.image.name: s for split in (data.query, data.gallery) for s in split.samples if s.image.name in bad}
    used = without(data, set(gone))
    of_others = fingerprint(used.query, used.gallery) != scored_on
    if of_others or (gone and not (skip_bad and not any(map(_readable, gone.values())))):
        return None
    scores = Scores(**arrays, queries=queries, persons=used.query.persons[arrays["query_index"]])
    return Result(data.name, scores, used, tuple(gone), copies)


def require_same_images(first: Result, second: Result, *, where: str) -> None:
    """Raises ``ExperimentError`` unless two results of a target are of the same images. ``where``: their owners, for the message."""
    if first.data != second.data:
        raise ExperimentError(
            "Scores that are compared are made of the same images",
            found=f"{first.target} without {len(first.left_out)} and without {len(second.left_out)} unreadable images ({where})",
            fix=f"restore the images, or delete evaluation/{first.target}.npz in both folders and score again",
        )


def _readable(sample: Sample) -> bool:
    try:
        sample.image.read()
    except DataError:
        return False
    return True


def _scores_of(embedded: TargetFeatures, part: slice, metric: str, device: str) -> dict[str, NDArray[Any]]:
    query = embedded.query
    mine = Features(query.embeddings[part], query.persons[part], query.cameras[part], query.names[part])
    # This part may have no valid query while others do; ``score`` checks the whole.
    ranks = match_ranks(mine, embedded.gallery, metric=metric, device=device) if len(mine.persons) else ()
    scores = score_ranks(ranks, mine.persons)
    arrays = {name: getattr(scores, name) for name in _ARRAYS}
    return arrays | {"query_index": scores.query_index + part.start}
