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
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from snreid.errors import CheckpointError
from snreid.experiments.experiment import Experiment
from snreid.experiments.packaged import beside, located
from snreid.inference.embedder import Embedder
from snreid.models.delta import has_weights, read_weights
from snreid.models.reid import CLASSIFIERS
from snreid.models.weights import restore
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
        """Folder of the scores: the run's own, or ``runs/NAME`` in the current folder for a packaged run."""
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
        saved = read_weights(self.folder)
        # The weights come from this run's file, so no pretrained ones are needed.
        classifiers = bool(saved.metadata.get("classifiers", True))
        model = without_pretrained(self.experiment).model.build(int(saved.metadata["persons"]) if classifiers else 1)
        restore(model, saved, source=str(self.folder), spare=() if classifiers else CLASSIFIERS)
        model.eval()
        return Embedder(model.to(device), self.experiment.input, device=device, bf16=bf16, fold=True, fuse=fuse)


def open_run(folder: str | Path) -> Run:
    """Opens the run in ``folder``, or the packaged run of that name. Raises ``CheckpointError`` if there is none."""
    folder = located(Path(folder))
    path = folder / "experiment.json"
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        return Run(folder, Experiment.from_json(record["experiment"]), record)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            "A run is a folder with an experiment.json",
            found=f"{folder}: {error}",
            fix="give a folder that snreid train made",
        ) from error


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
