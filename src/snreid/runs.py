"""A run folder: what an experiment leaves on disk, how it is made, and how it is read back.

runs/snr-market1501-0/
├── experiment.json       the experiment, where it comes from, how long it took
├── metrics.jsonl         one line per step and validation
├── checkpoints/          exact training state, deleted when the run is done
├── model.safetensors     weights to use: the last, or the best on held-out source identities
├── bad_files.jsonl       images that were left out (--skip-bad)
└── evaluation/NAME.json  scores on a target, and NAME.npz with one value per query
"""

import json
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console

from snreid.datasets import require_pairs
from snreid.embedding import EmbedBatch, Embedder, features
from snreid.errors import CheckpointError, DataError, ExperimentError
from snreid.evaluation import evaluate
from snreid.experiment import Experiment
from snreid.loading import BAD_FILES, PixelCache, PixelStore, list_bad
from snreid.machine import Machine
from snreid.models.reid import ReIDModel
from snreid.models.weights import load_model, restore, save_model, write_atomically
from snreid.progress import counting
from snreid.provenance import provenance
from snreid.records import Features, ReIDData, Split
from snreid.sampling import IdentityBatches
from snreid.sources import TrainingSet, hold_out, join, validation_split
from snreid.training.checkpoint import CheckpointStore
from snreid.training.distributed import ProcessGroup
from snreid.training.log import MetricsLog, ProgressLine, read_metrics
from snreid.training.loop import Hooks, Loop, Plan, StepReport


@dataclass(frozen=True)
class Run:
    """A run that is on disk."""

    folder: Path
    experiment: Experiment
    record: Mapping[str, Any]
    """The whole of experiment.json."""

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.name

    @property
    def finished(self) -> bool:
        """Whether training is through and its weights are there."""
        return "finished" in self.record and (self.folder / "model.safetensors").is_file()

    def embedder(self, *, device: str = "cpu", bf16: bool = False) -> Embedder:
        """The trained model. Raises ``CheckpointError`` when the run is not finished or its weights are damaged."""
        path = self.folder / "model.safetensors"
        if not path.is_file():
            raise CheckpointError(
                "A run must be finished before its model is used",
                came=f"no {path.name} in {self.folder}",
                repair=f"continue it: snreid train {self.folder / 'experiment.json'} --out {self.folder}",
            )
        saved = load_model(path)
        # The weights come from this run's own file, so none are looked for elsewhere.
        model = _without_pretrained(self.experiment).model.build(int(saved.metadata["persons"]))
        restore(model, saved, source=str(path))
        model.eval()
        return Embedder(model.to(device), self.experiment.input, device=device, bf16=bf16)


def open_run(folder: Path) -> Run:
    """The run in ``folder``. Raises ``CheckpointError`` when there is none."""
    path = folder / "experiment.json"
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        return Run(folder, Experiment.from_json(record["experiment"]), record)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            "A run is a folder with an experiment.json",
            came=f"{folder}: {error}",
            repair="give a folder that snreid train made",
        ) from error


def load(folder: str | Path, *, device: str = "cpu") -> Embedder:
    """The model of a run, ready to embed images. Raises ``CheckpointError``."""
    return open_run(Path(folder)).embedder(device=device)


def train(
    experiment: Experiment, machine: Machine, *, group: ProcessGroup, console: Console, pixels: PixelCache | None = None
) -> Run:
    """Trains, or continues what is in ``machine.out``, and leaves a finished run there; a finished one is taken as it is.

    ``pixels``: decoded images to share. Raises ``DataError`` (bad images are listed before training), ``ExperimentError``,
    ``CheckpointError``, ``DivergenceError``, ``Interrupted``.
    """
    if not experiment.sources:
        raise ExperimentError("Training needs a source", came="none", repair="name one: --source market1501")
    former = _former(experiment, machine.out)
    group.barrier()  # all have looked before the first process changes anything
    if group.first:
        _sweep(machine.out, finished=former is not None and former.finished)
    if former is not None and former.finished:
        console.out(f"{machine.out} is finished, nothing is trained; another --out folder starts anew", highlight=False)
        return former
    pixels = pixels or PixelCache(workers=machine.workers, memory_gb=machine.memory_gb)
    training, store, held = _training_set(experiment, machine, pixels, group, console)
    torch.manual_seed(experiment.seed)
    model = experiment.model.build(training.identities).to(group.device).to(memory_format=torch.channels_last)
    plan = Plan(
        model=model,
        losses=experiment.losses,
        store=store,
        persons=training.persons,
        batches=IdentityBatches(
            experiment.sampling, training.persons, training.domains, experiment.seed, experiment.batches_per_epoch
        ),
        augmentation=experiment.augmentation,
        input=experiment.input,
        optim=experiment.optimizer,
        schedule=experiment.schedule,
        epochs=experiment.epochs,
        seed=experiment.seed,
        bf16=machine.bf16,
    )
    # Only now, so that a request that cannot be trained leaves nothing behind.
    record = _start_record(experiment, machine, training, model, group, former)
    began = time.monotonic()
    _loop(experiment, machine, plan, held, group, console)
    if group.first:
        _finish(experiment, machine, model, training, record, time.monotonic() - began)
    group.barrier()
    return open_run(machine.out)


@dataclass(frozen=True)
class TargetFeatures:
    """Embedded query and gallery of one target."""

    query: Features
    gallery: Features


def embed_target(
    embed: EmbedBatch,
    size: tuple[int, int],
    data: ReIDData,
    machine: Machine,
    *,
    group: ProcessGroup | None = None,
    console: Console,
    pixels: PixelCache | None = None,
) -> TargetFeatures:
    """Features of a target's query and gallery, from any callable that embeds uint8 images of ``size`` (height, width).

    Bad images stop it with a ``DataError``, or are left out with ``machine.skip_bad``.
    """
    pixels = pixels or PixelCache(workers=machine.workers, memory_gb=machine.memory_gb)

    def embedded(split: Split, part: str) -> Features:
        """Features of one side."""
        with counting(console, f"reading {data.name} {part}") as progress:
            opened = pixels.open(split, *size, progress)
        if opened.bad:
            write = group is None or group.first
            list_bad(opened.bad, len(split), machine.out, skip=machine.skip_bad, write=write)
        with counting(console, f"embedding {data.name} {part}") as progress:
            return features(embed, opened.store.without(opened.bad), group=group, progress=progress)

    return TargetFeatures(embedded(data.query, "query"), embedded(data.gallery, "gallery"))


def _training_set(
    experiment: Experiment, machine: Machine, pixels: PixelCache, group: ProcessGroup, console: Console
) -> tuple[TrainingSet, PixelStore, tuple[TrainingSet, PixelStore] | None]:
    sources = [source.read(machine.root) for source in experiment.sources]
    for source in sources:
        require_pairs(Split(tuple(s for s in source.train.samples if s.person > 0)), where=source.name)
    joined = join(sources, experiment.sampling.domains)
    size = experiment.input.height, experiment.input.width
    with counting(console if group.first else None, "reading training images") as progress:
        opened = pixels.open(joined.split, *size, progress)
    keep = np.arange(len(joined.split))
    if opened.bad:
        list_bad(opened.bad, len(joined.split), machine.out, skip=machine.skip_bad, write=group.first)
        names = {b.name for b in opened.bad}
        keep = np.array([i for i in keep if joined.split.samples[i].image.name not in names])
        # A person left with one image cannot form a pair; leaving it out is part of going on without the bad ones.
        counts = np.bincount(joined.persons[keep], minlength=joined.identities)
        keep = keep[counts[joined.persons[keep]] >= 2]
    training, store = joined.only(keep), opened.store.only(keep)
    if not experiment.validation.fraction:
        return training, store, None
    kept, held = hold_out(training, experiment.validation.fraction, experiment.seed)
    positions = {s.image.name: i for i, s in enumerate(training.split.samples)}

    def part(of: TrainingSet) -> PixelStore:
        """The decoded images of a part of the training set."""
        return store.only(np.array([positions[s.image.name] for s in of.split.samples]))

    return kept, part(kept), (held, part(held))


def _former(experiment: Experiment, folder: Path) -> Run | None:
    """The run that is in ``folder`` already. Raises ``ExperimentError`` when it is of another experiment."""
    begun = (folder / "model.safetensors").is_file() or CheckpointStore(folder / "checkpoints").last() is not None
    if not begun or not (folder / "experiment.json").exists():
        return None  # a request that failed at its start leaves nothing to protect
    run = open_run(folder)
    if run.record["experiment"] != experiment.to_json():
        raise ExperimentError(
            "A run folder holds one experiment",
            came=f"{folder} holds another one ({run.experiment.recipe}, seed {run.experiment.seed})",
            repair="choose another --out folder, or delete that one",
        )
    return run


def _sweep(folder: Path, *, finished: bool) -> None:
    """Deletes what a killed process left half written; of a finished run also the training states, which nothing needs any more."""
    for draft in (*folder.glob(".*.tmp"), *folder.glob("checkpoints/.*.tmp"), *folder.glob("metrics.jsonl.tmp.*")):
        draft.unlink(missing_ok=True)
    if finished:
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    else:
        (folder / BAD_FILES).unlink(missing_ok=True)  # images are looked at again


def _same_data(before: Mapping[str, Any], now: Mapping[str, Any], folder: Path) -> None:
    changed = [f"{before[what]} {what}, now {now[what]}" for what in ("images", "persons") if before[what] != now[what]]
    if changed:
        raise DataError(
            "A run goes on only with the images it was started with",
            came=f"{folder} was started with {', '.join(changed)}",
            repair="restore the data set, or start anew in another --out folder",
        )


def _start_record(
    experiment: Experiment,
    machine: Machine,
    training: TrainingSet,
    model: ReIDModel,
    group: ProcessGroup,
    former: Run | None,
) -> dict[str, Any]:
    path = machine.out / "experiment.json"
    record = {
        "experiment": experiment.to_json(),
        "training": {
            "images": len(training.split),
            "persons": training.identities,
            "sources": list(training.names),
            "parameters": sum(p.numel() for p in model.parameters()),
            "processes": group.world,
            "device": str(group.device),
            "precision": machine.precision,
            "threads": torch.get_num_threads(),
        },
        "provenance": provenance(),
    }
    if former is not None:
        _same_data(former.record["training"], record["training"], machine.out)
        record["provenance"] = former.record["provenance"]
    if group.first:
        _write_json(path, record)
    return record


def _loop(
    experiment: Experiment,
    machine: Machine,
    plan: Plan,
    held: tuple[TrainingSet, PixelStore] | None,
    group: ProcessGroup,
    console: Console,
) -> None:
    log = MetricsLog(machine.out)
    checkpoints = CheckpointStore(machine.out / "checkpoints")
    pointer = checkpoints.last()
    done = pointer.step if pointer else 0
    bar = ProgressLine(console, total_steps=experiment.epochs * len(plan.batches), epochs=experiment.epochs)

    def report(step: StepReport) -> None:
        """Log a step; only the first process does."""
        if not group.first:
            return
        bar.update(step.step, epoch=step.epoch, images=step.images, parts=step.parts)
        wanted = {
            "epoch": step.epoch,
            "rate": step.rate,
            "seconds": step.seconds,
            "waited": step.waited,
            "skipped": step.skipped,
        }
        log.write(step.step, {**wanted, **step.parts})

    def epoch_end(epoch: int, kept: Mapping[str, Any]) -> Mapping[str, Any]:
        """Validate when it is time."""
        last = epoch == experiment.epochs
        if held is None or (epoch % experiment.validation.every and not last):
            return kept
        return _validate(experiment, machine, plan, held, group, epoch, kept, log)

    if group.first:
        log.start(done)
    bar.start(done)
    with log, bar:
        hooks = Hooks(report=report, epoch_end=epoch_end, values={"experiment": experiment.to_json()})
        Loop(plan, checkpoints, group=group, hooks=hooks, save_seconds=machine.save_seconds).run()


def _validate(
    experiment: Experiment,
    machine: Machine,
    plan: Plan,
    held: tuple[TrainingSet, PixelStore],
    group: ProcessGroup,
    epoch: int,
    kept: Mapping[str, Any],
    log: MetricsLog,
) -> Mapping[str, Any]:
    """mAP on held-out source identities; a new best is saved beside the checkpoints."""
    held_out, store = held
    model = plan.model
    if not isinstance(model, ReIDModel):
        raise ExperimentError("Validation embeds with a ReIDModel", came=type(model).__name__)
    embedder = Embedder(model, experiment.input, device=str(group.device), bf16=machine.bf16)
    found = features(embedder, store, group=group)
    query, gallery = validation_split(held_out)
    cameras = held_out.split.cameras + 1000 * held_out.sources * (held_out.split.cameras >= 0)
    joint = Features(found.embeddings, held_out.persons + 1, cameras, found.names)
    scores = evaluate(_rows(joint, query), _rows(joint, gallery), metric=experiment.metric)
    best = float(kept.get("best_mAP", -1.0))
    improved = scores.mean_ap > best
    if group.first:
        log.write(
            epoch * len(plan.batches),
            {"epoch": epoch, "validation_mAP": scores.mean_ap, "validation_rank1": scores.rank(1)},
        )
        if improved:
            save_model(machine.out / "checkpoints" / "best.safetensors", model, {"epoch": epoch, "mAP": scores.mean_ap})
    return {"best_mAP": scores.mean_ap, "best_epoch": epoch} if improved else dict(kept)


def _rows(found: Features, index: np.ndarray[Any, np.dtype[np.int64]]) -> Features:
    names = tuple(found.names[i] for i in index)
    return Features(found.embeddings[index], found.persons[index], found.cameras[index], names)


def _finish(
    experiment: Experiment,
    machine: Machine,
    model: ReIDModel,
    training: TrainingSet,
    record: dict[str, Any],
    seconds: float,
) -> None:
    chosen = "last"
    best = machine.out / "checkpoints" / "best.safetensors"
    if best.exists():
        saved = load_model(best)
        restore(model, saved, source=str(best))
        chosen = (
            f"best on held-out source identities (epoch {saved.metadata['epoch']}, mAP {saved.metadata['mAP']:.4f})"
        )
    metadata = {"experiment": experiment.to_json(), "persons": training.identities, "chosen": chosen}
    save_model(machine.out / "model.safetensors", model, metadata)
    # A run that was interrupted took as long as its steps.
    steps = sum(line.get("seconds", 0.0) for line in read_metrics(machine.out))
    finished = {"seconds": round(max(seconds, steps), 1), "checkpoint": chosen}
    _write_json(machine.out / "experiment.json", {**record, "finished": finished})
    _sweep(machine.out, finished=True)


def _write_json(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, (json.dumps(value, indent=2) + "\n").encode())


def _without_pretrained(experiment: Experiment) -> Experiment:
    backbone = replace(experiment.model.backbone, weights="random")
    return replace(experiment, model=replace(experiment.model, backbone=backbone))
