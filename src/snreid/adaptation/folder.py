"""The folder of an adapted run: how it is made, continued, and recognized.

runs/snr-market1501-0-mar-cuhk03/
├── experiment.json       as of any run, and ``adaptation``: method, target, digest of its images, the run it started from
├── model.safetensors     the adapted model; or delta.safetensors, where only little changed (models/delta.py)
├── metrics.jsonl, checkpoints/, bad_files.jsonl, evaluation/   as of any run
"""

import shutil
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from rich.console import Console

from snreid.adaptation.job import Job, SourceImages
from snreid.adaptation.unlabelled import Unlabelled
from snreid.errors import DataError, ExperimentError
from snreid.experiments.experiment import Experiment
from snreid.experiments.held_out import training_set
from snreid.experiments.packaged import is_packaged
from snreid.experiments.runs import Run, open_run
from snreid.images.loading import PixelCache, PixelStore, list_bad
from snreid.inference.embedder import require_working
from snreid.models.delta import has_weights, read_weights, save_delta
from snreid.models.weights import save_model
from snreid.system.atomic_files import write_json
from snreid.system.machine import Machine
from snreid.system.progress import counting
from snreid.system.provenance import provenance
from snreid.training.checkpoint import CheckpointStore
from snreid.training.distributed import ProcessGroup
from snreid.training.log import read_metrics, skipped_text, waited_text

if TYPE_CHECKING:
    from snreid.adaptation import Adaptation


def adapt_run(
    method: "Adaptation",
    run: Run,
    target: Unlabelled,
    machine: Machine,
    *,
    group: ProcessGroup,
    console: Console,
    pixels: PixelCache | None = None,
) -> Run:
    """Adapts a finished ``run`` to a target, or continues what is in ``machine.out``, and leaves a finished run there; a finished one is
    taken as it is.

    ``pixels``: decoded images to share. Raises ``DataError`` (bad images are listed first), ``ExperimentError``, ``CheckpointError``,
    ``DivergenceError``, ``Interrupted``.
    """
    if group.world > 1:
        raise ExperimentError(
            "A run is adapted by one process (statistics and pairs are those of whole batches)",
            found=f"{group.world} processes",
            fix="start it without torchrun or srun",
        )
    entry = {
        "method": method.to_json(),
        "target": target.name,
        "images": len(target),
        "fingerprint": target.fingerprint,
        "source": run.name,
        "source_weights": read_weights(run.folder).sha256 if has_weights(run.folder) else "",
    }
    if method.needs_source and is_packaged(run.folder):
        raise ExperimentError(
            f"{method.name} needs the people and images that a run was trained on",
            found=f"{run.name}, a packaged run without them",
            fix="use --method clustering or adaptive-bn",
        )
    embedder = run.embedder(device=str(group.device), bf16=machine.bf16)
    former = _former(method, entry, run, machine)
    if former is not None and former.finished:
        console.out(f"{machine.out} is finished, nothing is adapted; another --out folder starts anew", highlight=False)
        return former
    pixels = pixels or PixelCache.of(machine, console)
    source = _source_images(run, machine, pixels, group, console) if method.needs_source else None
    used, store, left_out = _target_images(run, target, machine, pixels, console)
    entry["left_out"] = left_out
    named = replace(run.experiment, recipe=f"{run.experiment.recipe}-{method.name}-{target.name}")
    record = _start_record(entry, named, run, machine, group, former)
    began = time.monotonic()
    job = Job(
        experiment=run.experiment,
        model=embedder.model,
        target=used,
        store=store,
        source=source,
        machine=machine,
        group=group,
        console=console,
    )
    facts = method.fit(job)
    embedder.model.eval()
    require_working(job.embedder(), store, group)
    _finish(method, job, run, record, facts, time.monotonic() - began)
    return open_run(machine.out)


def _former(method: "Adaptation", entry: Mapping[str, Any], run: Run, machine: Machine) -> Run | None:
    """The adaptation that is in the folder already. Raises ``ExperimentError`` when something else is."""
    folder = machine.out
    if not (folder / "experiment.json").exists():
        return None
    former = open_run(folder)
    stored = former.record.get("adaptation")
    same = isinstance(stored, dict) and all(stored.get(key) == entry[key] for key in entry if key != "method")
    if same and isinstance(stored, dict) and method.is_in(stored.get("method")):
        return former
    if not has_weights(folder) and CheckpointStore(folder / "checkpoints").last() is None and stored is not None:
        return None  # a request that failed at its start leaves nothing to protect
    holds = f"that of {stored.get('source')} to {stored.get('target')}" if isinstance(stored, dict) else "a trained run"
    raise ExperimentError(
        "The folder of an adaptation holds this one only: one run, one target with the same images, the same settings",
        found=f"{folder} holds {holds}, with other settings, images or weights",
        fix="choose another --out folder, or delete that one",
    )


def _target_images(
    run: Run, target: Unlabelled, machine: Machine, pixels: PixelCache, console: Console
) -> tuple[Unlabelled, PixelStore, list[str]]:
    """What can be read of the target, its opened images, and the names of those that cannot."""
    size = run.experiment.input.height, run.experiment.input.width
    with counting(console, f"reading {target.name}") as progress:
        opened = pixels.open(target.split, *size, progress)
    if not opened.bad:
        return target, opened.store, []
    list_bad(opened.bad, len(target), machine.out, skip=machine.skip_bad)
    good = opened.store.good
    return target.only(good), opened.store.only(good), [one.name for one in opened.bad]


def _source_images(
    run: Run, machine: Machine, pixels: PixelCache, group: ProcessGroup, console: Console
) -> SourceImages:
    """What the run was trained on. Raises ``DataError`` when that is not on disk as it was."""
    training, store, _ = training_set(run.experiment, machine, pixels, group, console)
    before = run.record["training"]
    now = {"images": len(training.split), "persons": training.identities, "fingerprint": training.fingerprint}
    changed = [name for name, value in now.items() if before.get(name, value) != value]
    if changed:
        raise DataError(
            "A run is adapted beside the very images it was trained on: its classifier knows these persons",
            found=f"other {' and '.join(changed)} than {run.folder} was trained with ({before['images']} images of "
            f"{before['persons']} persons, now {now['images']} of {now['persons']})",
            fix="restore the data set, or give the data folder it lies in by --root",
        )
    return SourceImages(training, store)


def _start_record(
    entry: Mapping[str, Any], named: Experiment, run: Run, machine: Machine, group: ProcessGroup, former: Run | None
) -> dict[str, Any]:
    """Writes experiment.json. ``named``: the source's experiment under the name that the adapted run has in tables."""
    record = {
        "experiment": named.to_json(),
        "adaptation": entry,
        "training": {
            **run.record["training"],
            "processes": group.world,
            "device": str(group.device),
            "precision": machine.precision,
            "threads": torch.get_num_threads(),
        },
        "provenance": provenance(),
    }
    if former is not None:
        before, now = former.record["adaptation"].get("left_out", []), entry["left_out"]
        if before != now and CheckpointStore(machine.out / "checkpoints").last() is not None:
            raise DataError(
                "An adaptation goes on only with the images it was started with",
                found=f"{len(before)} unreadable images when {machine.out} was started, {len(now)} now",
                fix="restore the images, or start anew in another --out folder",
            )
        record["provenance"] = former.record["provenance"]
    _write_record(machine, record)
    return record


def _finish(
    method: "Adaptation", job: Job, run: Run, record: dict[str, Any], facts: Mapping[str, Any], seconds: float
) -> None:
    folder = job.machine.out
    for sentence in (skipped_text(folder), waited_text(folder)):
        if sentence:
            job.console.out(sentence, highlight=False)
    experiment, persons = record["experiment"], job.model.head.classifier.out_features
    # Beside a packaged run no delta: the next version of the package brings another one.
    if method.as_delta and not is_packaged(run.folder):
        size = save_delta(folder, job.model, run.folder)
        facts = {**facts, "delta_bytes": size}
        job.console.out(f"delta.safetensors holds what changed: {size / 1000:.1f} kB", highlight=False)
    else:
        metadata = {"experiment": experiment, "persons": persons, "chosen": "last"}
        save_model(folder / "model.safetensors", job.model, metadata)
    steps = sum(line.get("seconds", 0.0) for line in read_metrics(folder))
    finished = {"seconds": round(max(seconds, steps), 1), "checkpoint": "last", "facts": dict(facts)}
    _write_record(job.machine, {**record, "finished": finished})
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)


def _write_record(machine: Machine, record: Mapping[str, Any]) -> None:
    machine.out.mkdir(parents=True, exist_ok=True)
    write_json(machine.out / "experiment.json", record)
