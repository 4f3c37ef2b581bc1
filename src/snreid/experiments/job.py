"""The training of one run: images are looked at, the model is built, the loop runs, and the run folder (``runs.py``) is left behind."""

import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from snreid.errors import CheckpointError, DataError, ExperimentError
from snreid.experiments.experiment import Experiment
from snreid.experiments.held_out import HeldOut, training_set, validate
from snreid.experiments.runs import Run, open_run, without_pretrained
from snreid.images.loading import BAD_FILES, PixelCache, PixelStore, look_at
from snreid.inference.embedder import Embedder, require_working
from snreid.losses import memory_of
from snreid.models.delta import has_weights, read_weights
from snreid.models.matching import match_statistics
from snreid.models.reid import ReIDModel, start_from
from snreid.models.weights import load_model, restore, save_model
from snreid.records import ReIDData
from snreid.system.atomic_files import sweep, write_json
from snreid.system.machine import Machine
from snreid.system.provenance import provenance
from snreid.training.averaging import Average
from snreid.training.checkpoint import CheckpointStore
from snreid.training.compiling import backend
from snreid.training.distributed import ProcessGroup
from snreid.training.follow import follow
from snreid.training.log import MetricsLog, ProgressLine, read_metrics, skipped_text, waited_text
from snreid.training.loop import Hooks, Loop, Plan
from snreid.training.memory import Remembering
from snreid.training.sampling import IdentityBatches
from snreid.training.training_set import TrainingSet

_MATCHED_BATCHES = 8
"""Batches of training images that norms behind stages start from."""


def train(
    experiment: Experiment,
    machine: Machine,
    *,
    group: ProcessGroup,
    console: Console,
    pixels: PixelCache | None = None,
    targets: Sequence[ReIDData] = (),
) -> Run:
    """Trains, or continues what is in ``machine.out``, and leaves a finished run there; a finished one is taken as it is.

    ``pixels``: decoded images to share. ``targets``: their images are looked at before training too. Raises ``DataError`` (bad images
    are listed before training), ``ExperimentError``, ``CheckpointError``, ``DivergenceError``, ``Interrupted``.
    """
    if not experiment.sources:
        raise ExperimentError("Training needs a source", found="none", fix="name one: --source market1501")
    former = _former(experiment, machine.out)
    group.barrier()  # all have looked before the first process changes anything
    if group.first:
        _sweep(machine.out, finished=former is not None and former.finished)
    if former is not None and former.finished:
        console.out(f"{machine.out} is finished, nothing is trained; another --out folder starts anew", highlight=False)
        return former
    # Before images are read: what cannot be built is refused at once. A run that goes on has its weights in its checkpoints.
    without_pretrained(experiment).model.build(2)
    start = _start(experiment) if experiment.start and former is None else None
    pixels = pixels or PixelCache.of(machine, console)
    training, store, held = training_set(experiment, machine, pixels, group, console)
    size = experiment.input.height, experiment.input.width
    look_at(targets, pixels, size, machine.out, skip=machine.skip_bad, write=group.first, console=console)
    model, started = _model(experiment, training, group, start)
    plan = _plan(experiment, machine, model, training, store, group, console)
    if experiment.model.scheme.matched and former is None and start is None:
        match_statistics(model, plan.first_images(_MATCHED_BATCHES, group.device))
    if experiment.ema:  # of the weights that training begins with, matched norms included
        plan = replace(plan, average=Average(model, experiment.ema))
    # Only now, so that a request that cannot be trained leaves nothing behind.
    record = _start_record(experiment, machine, training, model, group, former, started)
    began = time.monotonic()
    _loop(experiment, machine, plan, model, held, group, console)
    if plan.average is not None:
        model.load_state_dict(plan.average.model.state_dict())
    chosen = _choose(machine, model, averaged=plan.average is not None) if group.first else ""
    require_working(Embedder(model, experiment.input, device=str(group.device), bf16=machine.bf16), store, group)
    if group.first:
        for sentence in (skipped_text(machine.out), waited_text(machine.out)):
            if sentence:
                console.out(sentence, highlight=False)
        _finish(experiment, machine, model, training, record, chosen, time.monotonic() - began)
    group.barrier()
    return open_run(machine.out)


def _model(
    experiment: Experiment, training: TrainingSet, group: ProcessGroup, start: Run | None
) -> tuple[ReIDModel, Mapping[str, Any] | None]:
    """The model as training begins, on its device, and what the record says of the run it starts from."""
    torch.manual_seed(experiment.seed)
    config = without_pretrained(experiment).model if experiment.start else experiment.model
    model, started = config.build(training.identities), None
    if start is not None:
        saved, before = read_weights(start.folder), start.record.get("training", {})
        same = (before.get("fingerprint"), before.get("persons")) == (training.fingerprint, training.identities)
        start_from(model, saved, same_persons=same, source=str(start.folder))
        started = {"run": start.name, "sha256": saved.sha256, "classifier": same}
    model.freeze(experiment.freeze_stages)
    return model.to(group.device).to(memory_format=torch.channels_last), started


def _start(experiment: Experiment) -> Run:
    """The run that an experiment starts from. Raises ``CheckpointError``."""
    start = open_run(Path(experiment.start))
    if not start.finished:
        raise CheckpointError(
            "A run starts from a finished one",
            found=f"{start.folder}, which is not finished",
            fix="finish it first, by the command it was started with",
        )
    if not isinstance(start.record.get("training", {}), Mapping):
        raise CheckpointError(
            "The experiment.json of a run says what it was trained on",
            found=f"{start.folder}, whose 'training' is {type(start.record['training']).__name__}",
            fix="copy the run again, or start from another",
        )
    now, before = experiment.input, start.experiment.input
    if (now.mean, now.std) != (before.mean, before.std):
        raise CheckpointError(
            "Weights go on with pixels of the mean and deviation they know",
            found=f"{before.mean}, {before.std} in {start.folder}, now {now.mean}, {now.std}",
            fix="set --input.mean and --input.std to those of the run",
        )
    return start


def _plan(
    experiment: Experiment,
    machine: Machine,
    model: ReIDModel,
    training: TrainingSet,
    store: PixelStore,
    group: ProcessGroup,
    console: Console,
) -> Plan:
    return Plan(
        model=_with_memory(model, experiment, training, group),
        losses=experiment.losses,
        store=store,
        persons=training.persons,
        batches=IdentityBatches(
            experiment.sampling, training.persons, training.domains, experiment.seed, experiment.batches_per_epoch
        ),
        augmentation=experiment.augmentation,
        second_view=experiment.second_view,
        input=experiment.input,
        optim=experiment.optimizer,
        schedule=experiment.schedule,
        epochs=experiment.epochs,
        seed=experiment.seed,
        accumulate=experiment.accumulate,
        precision=machine.precision,
        compiler=backend(group, console) if machine.compile else None,
    )


def _with_memory(
    model: ReIDModel, experiment: Experiment, training: TrainingSet, group: ProcessGroup
) -> ReIDModel | Remembering:
    """The model, beside it the prototypes of the training persons if a loss needs them."""
    momentum = memory_of(experiment.losses)
    if momentum is None:
        return model
    sources = torch.from_numpy(training.sources_of_persons)
    return Remembering(model, sources, model.dim, momentum=momentum, group=group).to(group.device)


def _former(experiment: Experiment, folder: Path) -> Run | None:
    """The run that is in ``folder`` already. Raises ``ExperimentError`` when it is of another experiment."""
    begun = has_weights(folder) or CheckpointStore(folder / "checkpoints").last() is not None
    if not begun or not (folder / "experiment.json").exists():
        return None  # a request that failed at its start leaves nothing to protect
    run = open_run(folder)
    if run.experiment != experiment:  # as values: the JSON of an older version may lack a field that has a default
        raise ExperimentError(
            "A run folder holds one experiment",
            found=f"{folder} holds another one ({run.experiment.recipe}, seed {run.experiment.seed})",
            fix="choose another --out folder, or delete that one",
        )
    return run


def _reads_as(stored: Any, experiment: Experiment) -> bool:
    try:
        return Experiment.from_json(stored) == experiment
    except ExperimentError:
        return False


def _sweep(folder: Path, *, finished: bool) -> None:
    """Deletes what a killed process left half written; of a finished run also the training states, which nothing needs any more."""
    for place in (folder, folder / "checkpoints"):
        sweep(place, older_than=0)
    if finished:
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    else:
        (folder / BAD_FILES).unlink(missing_ok=True)  # images are looked at again


def _same_data(before: Mapping[str, Any], now: Mapping[str, Any], folder: Path) -> None:
    changed = [f"{before[what]} {what}, now {now[what]}" for what in ("images", "persons") if before[what] != now[what]]
    # Runs of earlier versions have no fingerprint; their counts have to do.
    if not changed and before.get("fingerprint", now["fingerprint"]) != now["fingerprint"]:
        changed = ["as many images and persons, but other files or labels"]
    if changed:
        raise DataError(
            "A run goes on only with the images it was started with",
            found=f"{folder} was started with {', '.join(changed)}",
            fix="restore the data set, or start anew in another --out folder",
        )


def _start_record(
    experiment: Experiment,
    machine: Machine,
    training: TrainingSet,
    model: ReIDModel,
    group: ProcessGroup,
    former: Run | None,
    started: Mapping[str, Any] | None,
) -> dict[str, Any]:
    record: dict[str, Any] = {
        "experiment": experiment.to_json(),
        "training": {
            "images": len(training.split),
            "persons": training.identities,
            "sources": list(training.names),
            "remarks": list(training.remarks),
            "fingerprint": training.fingerprint,
            "weights": None if experiment.start else experiment.model.backbone.weights_digest,
            "parameters": sum(p.numel() for p in model.parameters()),
            "processes": group.world,
            "device": str(group.device),
            "precision": machine.precision,
            "compiled": machine.compile,
            "threads": torch.get_num_threads(),
        },
        "provenance": provenance(),
    }
    if former is not None:
        started = former.record["training"].get("start")
        _same_data(former.record["training"], record["training"], machine.out)
        record["provenance"] = former.record["provenance"]
    if started is not None:
        record["training"]["start"] = started
    if group.first:
        write_json(machine.out / "experiment.json", record)
    return record


def _loop(
    experiment: Experiment,
    machine: Machine,
    plan: Plan,
    model: ReIDModel,
    held: HeldOut | None,
    group: ProcessGroup,
    console: Console,
) -> None:
    log = MetricsLog(machine.out)
    checkpoints = CheckpointStore(machine.out / "checkpoints")
    pointer = checkpoints.last()
    done = pointer.step if pointer else 0
    bar = ProgressLine(console, total_steps=experiment.epochs * plan.steps, epochs=experiment.epochs)

    def epoch_start(epoch: int) -> None:
        """The pretrained backbone rests in the first epochs."""
        if experiment.freeze_epochs:
            model.freeze(experiment.freeze_stages, backbone=epoch < experiment.freeze_epochs)

    def epoch_end(epoch: int, kept: Mapping[str, Any]) -> Mapping[str, Any]:
        """Validate when it is time."""
        last = epoch == experiment.epochs
        if held is None or (epoch % experiment.validation.every and not last):
            return kept
        return validate(experiment, machine, plan, held, group, epoch, kept, log)

    if group.first:
        log.start(done)
    bar.start(done)
    with log, bar:
        stored = {"experiment": experiment.to_json()}
        report = follow(log, bar) if group.first else lambda step: None
        hooks = Hooks(
            report=report,
            epoch_start=epoch_start,
            epoch_end=epoch_end,
            values=stored,
            same=lambda one, _: _reads_as(one, experiment),
        )
        Loop(plan, checkpoints, group=group, hooks=hooks, save_seconds=machine.save_seconds).run()


def _choose(machine: Machine, model: ReIDModel, *, averaged: bool) -> str:
    """Gives the model its best weights where there was validation; which ones it has now, in words."""
    best, kind = machine.out / "checkpoints" / "best.safetensors", "averaged, " if averaged else ""
    if not best.exists():
        return f"{kind}last"
    saved = load_model(best)
    restore(model, saved, source=str(best))
    return (
        f"{kind}best on held-out source identities (epoch {saved.metadata['epoch']}, mAP {saved.metadata['mAP']:.4f})"
    )


def _finish(
    experiment: Experiment,
    machine: Machine,
    model: ReIDModel,
    training: TrainingSet,
    record: dict[str, Any],
    chosen: str,
    seconds: float,
) -> None:
    metadata = {"experiment": experiment.to_json(), "persons": training.identities, "chosen": chosen}
    save_model(machine.out / "model.safetensors", model, metadata)
    # A run that was interrupted took as long as its steps.
    steps = sum(line.get("seconds", 0.0) for line in read_metrics(machine.out))
    finished = {"seconds": round(max(seconds, steps), 1), "checkpoint": chosen}
    write_json(machine.out / "experiment.json", {**record, "finished": finished})
    _sweep(machine.out, finished=True)
