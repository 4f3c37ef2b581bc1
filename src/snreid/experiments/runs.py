"""The folder of a run: its files, and how to open it.

runs/snr-market1501-0/
├── experiment.json       the experiment, its provenance, the training time
├── metrics.jsonl         one line per step and validation
├── checkpoints/          exact training state, deleted when the run is done
├── model.safetensors     weights to use: the last, or the best on held-out source identities;
│                         or delta.safetensors: what differs from another run's model (models/delta.py)
├── bad_files.jsonl       images that were left out (--skip-bad)
└── evaluation/NAME.json  scores on a target, NAME.npz with one value per query, embeddings/NAME.npz if they were kept
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from snreid.errors import CheckpointError, ExperimentError
from snreid.experiments.experiment import Experiment
from snreid.experiments.packaged import NAMES, beside, is_packaged, located
from snreid.inference.embedder import Embedder
from snreid.models.delta import has_weights, read_weights
from snreid.models.reid import CLASSIFIERS
from snreid.models.weights import SavedModel, require_fitting, restore
from snreid.training.distributed import chosen_device


@dataclass(frozen=True)
class Run:
    """A run on disk."""

    folder: Path
    experiment: Experiment
    record: Mapping[str, Any]
    """The contents of experiment.json."""

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.name

    @property
    def results(self) -> Path:
        """Folder of the scores: the run's own, or ``runs/NAME-HASH`` in the current folder for a packaged run."""
        return beside(self.folder)

    @property
    def finished(self) -> bool:
        """Whether training is complete and the weights exist."""
        return "finished" in self.record and has_weights(self.folder)

    def embedder(self, *, device: str = "auto", bf16: bool = False, fuse: bool = False) -> Embedder:
        """Loads the trained model.

        Args:
            device: ``auto`` (CUDA if there is one), ``cpu``, ``cuda`` or ``cuda:N``.
            bf16: Compute under bfloat16 autocast; embeddings are float32 all the same.
            fuse: On a CPU use oneDNN's fused convolutions, private operators of torch: faster, especially in bfloat16.

        Raises:
            CheckpointError: The run is not finished, or its weights are damaged.
            ExperimentError: There is no such device.
        """
        device = str(chosen_device(device))
        if not has_weights(self.folder):
            train_it = f"snreid train {self.folder / 'experiment.json'} --out {self.folder}"
            raise CheckpointError(
                "A run must be finished before its model is used",
                found=f"no model.safetensors in {self.folder}",
                fix=f"continue it: {'the same snreid adapt command' if 'adaptation' in self.record else train_it}",
            )
        try:
            saved = read_weights(self.folder)
        except CheckpointError as error:
            if not is_packaged(self.folder):
                raise
            raise CheckpointError(error.rule, found=error.found, fix="install snreid again") from error
        self._check_packaged(saved)
        # The weights come from this run's file, so no pretrained ones are needed.
        config, persons = without_pretrained(self.experiment).model, self._persons(saved)
        spare = () if persons else CLASSIFIERS
        with torch.device("meta"):  # somebody else's settings may ask for any amount of memory
            planned = config.build(persons or 1)
        fix = "copy the run again: its experiment.json and its weights belong together"
        require_fitting(planned, saved, source=str(self.folder), spare=spare, fix=fix)
        model = config.build(persons or 1)
        restore(model, saved, source=str(self.folder), spare=spare)
        model.eval()
        return Embedder(model.to(device), self.experiment.input, device=device, bf16=bf16, fold=True, fuse=fuse)

    def _check_packaged(self, saved: SavedModel) -> None:
        """Raises ``CheckpointError`` if a packaged run has other weights than those it was packaged with."""
        wanted = self.record.get("packaged", {}).get("sha256", saved.sha256)
        if saved.sha256 != wanted:
            raise CheckpointError(
                "A packaged run has the weights that it was packaged with",
                found=f"sha256 {saved.sha256[:12]}... instead of {wanted[:12]}... in {self.folder}",
                fix="install snreid again, or copy the run again",
            )

    def _persons(self, saved: SavedModel) -> int:
        """How many persons the classifier knows; 0 for weights without one."""
        if not saved.metadata.get("classifiers", True):
            return 0
        persons, weight = saved.metadata.get("persons"), saved.tensors.get(f"{CLASSIFIERS[0]}weight")
        rows = 0 if weight is None or weight.ndim != 2 else len(weight)
        if type(persons) is not int or persons != rows or persons < 1:
            raise CheckpointError(
                "The header of a weight file gives as many persons as its classifier has rows",
                found=f"persons {str(persons)[:40]}, {rows} rows in {self.folder}",
                fix="copy the run again",
            )
        return persons


def open_run(folder: str | Path) -> Run:
    """Opens the run in ``folder``, or the packaged run of that name.

    Raises ``CheckpointError`` if there is none, or naming the field of its experiment.json that is not what a run has there.
    """
    folder = located(Path(folder))
    path = folder / "experiment.json"
    if not path.is_file():
        raise _no_run(folder)
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        experiment = Experiment.from_json(record["experiment"])
    except ExperimentError as error:
        raise CheckpointError(error.rule, found=f"{error.found} in {path}", fix=error.fix) from error
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise CheckpointError(
            "A run is a folder with an experiment.json as training wrote it",
            found=f"{path}: {'too deeply nested' if isinstance(error, RecursionError) else f'{type(error).__name__}: {error}'}",
            fix="copy the run again, or use another one",
        ) from error
    _check_record(record, path)
    return Run(folder, experiment, record)


def _no_run(folder: Path) -> CheckpointError:
    """The error for a path that is no run, with the runs that lie there."""
    fix = f"give a folder that snreid train or snreid adapt made, or a model that comes with snreid: {', '.join(NAMES)}"
    if folder.is_file():
        found = f"{folder} is a file"
    elif not folder.is_dir():
        found = f"no folder {folder}"
    else:
        found = f"{folder} without one"
        if inner := sorted(place.parent for place in folder.glob("*/experiment.json")):
            more = ", ..." if len(inner) > _SHOWN else ""
            fix = f"name a run in it: {', '.join(map(str, inner[:_SHOWN]))}{more}"
    return CheckpointError("A run is a folder with an experiment.json", found=found, fix=fix)


_SHOWN = 6
_Check = Callable[[Any], bool]


def _is(*kinds: type) -> _Check:
    return lambda value: type(value) in kinds


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**53


def _is_duration(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value < 1e12  # false for NaN


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(text, str) for text in value)


_RECORD: dict[str, dict[str, _Check]] = {
    "training": {"images": _is_count, "persons": _is_count, "sources": _is_texts, "remarks": _is_texts},
    "provenance": {"started": _is(str), "command": _is(str), "versions": _is(dict), "git": _is(dict, type(None))},
    "finished": {"seconds": _is_duration, "checkpoint": _is(str)},
    "packaged": {"sha256": _is(str)},
    "adaptation": {"target": _is(str), "method": _is(dict), "source": _is(str), "left_out": _is_texts},
}
"""The parts of experiment.json beside the experiment, and what other commands read in them."""
_NEEDED = {"training": ("images", "persons"), "finished": ("seconds",), "adaptation": ("target", "method")}


def _check_record(record: Mapping[str, Any], path: Path) -> None:
    """Raises ``CheckpointError`` naming the first field that is missing or wrong."""
    for part, checks in _RECORD.items():
        if part not in record and part not in ("training", "provenance"):
            continue
        entry: Any = record.get(part)
        wrong = [part] if not isinstance(entry, dict) else []
        if not wrong:
            wrong = [f"{part}.{name}" for name, right in checks.items() if name in entry and not right(entry[name])]
            wrong += [f"{part}.{name}" for name in _NEEDED.get(part, ()) if name not in entry]
        if wrong:
            name = wrong[0].rpartition(".")[2]
            value = repr(entry.get(name, "nothing") if isinstance(entry, dict) else entry)[:60]
            raise CheckpointError(
                "The experiment.json of a run is as training wrote it",
                found=f"{wrong[0]} is {value} in {path}",
                fix="copy the run again, or use another one",
            )


def load(folder: str | Path, *, device: str = "auto") -> Embedder:
    """Loads the model of a finished run, ready to embed images.

    Args:
        folder: The run's folder, or the name of a packaged run.
        device: ``auto`` (CUDA if there is one), ``cpu``, ``cuda`` or ``cuda:N``.

    Raises:
        CheckpointError: There is no such run, it is not finished, or its weights are damaged.

    Example:
        >>> snreid.load("runs/snr").extract(["a.jpg", "b.jpg"]).shape      # doctest: +SKIP
        (2, 512)
    """
    return open_run(folder).embedder(device=device)


def without_pretrained(experiment: Experiment) -> Experiment:
    """Returns the experiment with random initial weights, so that no package, cache or network is searched for others."""
    backbone = replace(experiment.model.backbone, weights="random")
    return replace(experiment, model=replace(experiment.model, backbone=backbone))
