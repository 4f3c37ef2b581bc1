"""The folder of an adapted run: how it is created, resumed and recognized.

runs/snr-market1501-0-mar-cuhk03/
├── experiment.json       as of any run, and ``adaptation``: method, target, digest of its images, the run it started from
├── model.safetensors     the adapted model; or delta.safetensors, where only little changed (models/delta.py)
├── metrics.jsonl, checkpoints/, bad_files.jsonl, evaluation/   as of any run
"""

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from snreid.adaptation.base import Adaptation
from snreid.adaptation.job import AdaptationJob, SourceImages
from snreid.adaptation.unlabelled import Unlabelled
from snreid.errors import DataError, ExperimentError
from snreid.experiments.held_out import training_set
from snreid.experiments.packaged import is_packaged
from snreid.experiments.run_folder import RunFolder
from snreid.experiments.runs import Run, open_run
from snreid.experiments.serialization import changed_text
from snreid.images.loading import PixelStore, list_bad
from snreid.inference.embedder import require_working
from snreid.models.delta import has_weights, read_weights, save_delta
from snreid.models.weights import save_model
from snreid.system.progress import counting
from snreid.training.session import Session


def adapt_run(method: Adaptation, run: Run, target: Unlabelled, out: Path, session: Session) -> Run:
    """Adapts a finished run to a target and writes the adapted run to a folder.

    Resumes an interrupted adaptation, which ends with the same weights; returns a finished one as it is.

    Args:
        method: How to adapt.
        run: The run to start from; it stays as it is.
        target: Images without labels.
        out: Folder of the adapted run.
        session: Where and how to compute; one process.

    Returns:
        The adapted run.

    Raises:
        DataError: An image cannot be read (all of them are listed first), or the run's own images have changed.
        ExperimentError: The settings do not fit, or the folder holds another run.
        CheckpointError: ``run`` is not finished, or a weight file or training state is damaged.
        DivergenceError: The loss is no longer finite.
        Interrupted: After SIGTERM or Ctrl-C; the state is saved.
        BusyError: Another process is writing to the folder.
    """
    if session.group.world > 1:
        raise ExperimentError(
            "A run is adapted by one process (statistics and pairs are those of whole batches)",
            found=f"{session.group.world} processes",
            fix="start it without torchrun or srun",
        )
    if method.needs_source and is_packaged(run.folder):
        raise ExperimentError(
            f"{method.name} needs the people and images that a run was trained on",
            found=f"{run.name}, a packaged run without them",
            fix="use --method clustering or adaptive-bn",
        )
    entry = {
        "method": method.to_json(),
        "target": target.name,
        "images": len(target),
        "fingerprint": target.fingerprint,
        "source": run.name,
        "source_weights": read_weights(run.folder).sha256 if has_weights(run.folder) else "",
    }
    embedder = run.embedder(device=session.device, bf16=session.machine.bf16)
    folder = RunFolder(out, session)
    with folder.resume("adapting", lambda former: _require_same(former, method, entry)) as former:
        if former is not None and former.finished:
            session.say(f"{out} is finished, nothing is adapted; another --out folder starts from the beginning")
            return former
        source = _source_images(run, session, out) if method.needs_source else None
        for note in target.notes:
            session.say(note)
        readable, store, left_out = _target_images(run, target, session, out)
        record = _start_record({**entry, "left_out": left_out}, method, run, folder, former)
        began = time.monotonic()
        job = AdaptationJob(
            experiment=run.experiment, model=embedder.model, target=readable, store=store, source=source, folder=folder
        )
        facts = method.fit(job)
        job.model.eval()
        require_working(job.embedder(), store, session.group)
        _finish(method, job, run, record, facts, time.monotonic() - began)
        return open_run(out)


def _require_same(former: Run, method: Adaptation, entry: Mapping[str, Any]) -> None:
    """Raises ``ExperimentError`` unless ``former`` is the same adaptation."""
    stored = former.record.get("adaptation")
    others = {key: value for key, value in entry.items() if key != "method"}
    if isinstance(stored, dict) and method.is_in(stored.get("method")) and others.items() <= stored.items():
        return
    holds = "a trained run"
    if isinstance(stored, dict):
        known = {key: stored.get(key) for key in entry}
        holds = f"one with {changed_text(known, dict(entry))}"
    raise ExperimentError(
        "The folder of an adaptation holds this one only: one run, one target with the same images, the same settings",
        found=f"{former.folder} holds {holds}",
        fix="give another --out folder, or delete that one",
    )


def _target_images(
    run: Run, target: Unlabelled, session: Session, out: Path
) -> tuple[Unlabelled, PixelStore, list[str]]:
    """The readable images of the target, their opened store, and the names of the others."""
    size = run.experiment.input.height, run.experiment.input.width
    with counting(session.console, f"reading {target.name}") as progress:
        opened = session.pixels.open(target.split, *size, progress)
    if not opened.bad:
        return target, opened.store, []
    list_bad(opened.bad, len(target), out, skip=session.machine.skip_bad)
    good = opened.store.good
    return target.only(good), opened.store.only(good), [image.name for image in opened.bad]


def _source_images(run: Run, session: Session, out: Path) -> SourceImages:
    """Returns the images the run was trained on. Raises ``DataError`` if they have changed on disk."""
    training, store, _ = training_set(run.experiment, session, out)
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
    entry: Mapping[str, Any], method: Adaptation, run: Run, folder: RunFolder, former: Run | None
) -> Mapping[str, Any]:
    """Writes experiment.json: the source run's experiment under the adapted run's name in tables."""
    if former is not None:
        before, now = former.record["adaptation"].get("left_out", []), entry["left_out"]
        if before != now:
            raise DataError(
                "An adaptation continues with the images that it was started with",
                found=f"{len(before)} unreadable images when {folder.path} was started, {len(now)} now",
                fix="restore the images, or start again in another --out folder",
            )
    named = replace(run.experiment, recipe=f"{run.experiment.recipe}-{method.name}-{entry['target']}")
    trained = {**run.record["training"], **folder.conditions()}
    return folder.start({"experiment": named.to_json(), "adaptation": entry, "training": trained}, former)


def _finish(
    method: Adaptation,
    job: AdaptationJob,
    run: Run,
    record: Mapping[str, Any],
    facts: Mapping[str, Any],
    seconds: float,
) -> None:
    folder, session = job.folder.path, job.session
    # No delta against a packaged run: the next version of the package may have other weights.
    if method.as_delta and not is_packaged(run.folder):
        size = save_delta(folder, job.model, run.folder)
        facts = {**facts, "delta_bytes": size}
        session.say(f"delta.safetensors holds what changed: {size / 1000:.1f} kB")
    else:
        persons = job.model.head.classifier.out_features
        metadata = {"experiment": record["experiment"], "persons": persons, "chosen": "last"}
        save_model(folder / "model.safetensors", job.model, metadata)
    job.folder.finish(record, seconds, checkpoint="last", facts=dict(facts))
