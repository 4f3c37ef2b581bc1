"""The training of one run: open → prepare → loop → choose → write. The result is a run folder (``runs.py``)."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import torch

from snreid.errors import CheckpointError, DataError, ExperimentError
from snreid.experiments.experiment import Experiment
from snreid.experiments.held_out import HeldOut, training_set
from snreid.experiments.run_folder import RunFolder
from snreid.experiments.runs import Run, open_run, without_pretrained
from snreid.experiments.serialization import changed_text
from snreid.images.loading import PixelStore, look_at
from snreid.inference.embedder import Embedder, require_working
from snreid.losses import memory_of
from snreid.models.delta import read_weights
from snreid.models.matching import match_statistics
from snreid.models.reid import ReIDModel, move_toward, start_from
from snreid.models.weights import load_model, restore, save_model
from snreid.records import ReIDData
from snreid.training.averaging import Average
from snreid.training.compiling import backend
from snreid.training.log import MetricsLog
from snreid.training.memory import Remembering
from snreid.training.plan import TrainingPlan
from snreid.training.sampling import IdentityBatches
from snreid.training.session import Session
from snreid.training.training_set import TrainingSet

_MATCHED_BATCHES = 8
"""Batches of training images that initialize the statistics of norms after stages."""


def train(
    experiment: Experiment,
    out: Path,
    session: Session,
    *,
    targets: Sequence[ReIDData] = (),
    compile_step: bool = False,
) -> Run:
    """``snreid.train`` in a session; raises as it does.

    The images of the ``targets`` are also opened first, so that an unreadable one shows up before hours of training. With
    ``compile_step`` the training step is compiled with ``torch.compile`` if the machine can.
    """
    if not experiment.sources:
        raise ExperimentError("Training needs a source", found="none", fix="name one: --source market1501")
    folder = RunFolder(out, session)
    with folder.resume("training", lambda run: _require_same(run, experiment)) as former:
        if former is not None and former.finished:
            session.say(f"{out} is finished, nothing is trained; another --out folder starts from the beginning")
            return former
        job = TrainingJob.open(experiment, folder, former, targets=targets, compile_step=compile_step)
        prepared = job.prepare()
        began = time.monotonic()
        job.loop(prepared)
        chosen = job.choose(prepared)
        job.write(prepared, chosen, time.monotonic() - began)
        return open_run(out)


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """The model, and the objects around it that training changes."""

    model: ReIDModel
    plan: TrainingPlan
    record: Mapping[str, Any]
    """experiment.json as written at the start."""


@dataclass(frozen=True)
class TrainingJob:
    """The training of one run: the request, and the images opened for it."""

    experiment: Experiment
    folder: RunFolder
    former: Run | None
    """The unfinished run to resume."""
    start: Run | None
    """The run whose weights a new training starts from."""
    training: TrainingSet
    store: PixelStore
    """The opened training images, row by row."""
    held: HeldOut | None
    compile_step: bool

    @classmethod
    def open(
        cls,
        experiment: Experiment,
        folder: RunFolder,
        former: Run | None,
        *,
        targets: Sequence[ReIDData],
        compile_step: bool,
    ) -> Self:
        """Checks that the model can be built, then opens all images. Raises as ``train`` does."""
        # Building first reports a bad model before images are read. A resumed run has its weights in its checkpoints.
        without_pretrained(experiment).model.build(2)
        start = _start(experiment) if experiment.start and former is None else None
        session = folder.session
        training, store, held = training_set(experiment, session, folder.path)
        size = experiment.input.height, experiment.input.width
        look_at(
            targets,
            session.pixels,
            size,
            folder.path,
            skip=session.machine.skip_bad,
            write=session.first,
            console=session.console,
        )
        return cls(experiment, folder, former, start, training, store, held, compile_step)

    def prepare(self) -> Prepared:
        """Builds model and plan, then writes the record (last, so that a request that cannot be trained leaves nothing behind)."""
        experiment, new = self.experiment, self.former is None and self.start is None
        model, started = self._model()
        plan = self._plan(model)
        if experiment.model.scheme.matched and new:
            match_statistics(model, plan.first_images(_MATCHED_BATCHES, self.folder.session.group.device))
        if experiment.ema:  # the average starts from the initial weights, matched norms included
            plan = replace(plan, average=Average(model, experiment.ema))
        return Prepared(model=model, plan=plan, record=self._record(model, started))

    def loop(self, prepared: Prepared) -> None:
        """Trains to the end, with validation on held-out source identities if the experiment has any."""
        experiment, model = self.experiment, prepared.model

        def epoch_start(epoch: int) -> None:
            """Freezes the pretrained backbone in the first epochs."""
            if experiment.freeze_epochs:
                model.freeze(experiment.freeze_stages, backbone=epoch < experiment.freeze_epochs)

        def epoch_end(epoch: int, kept: Mapping[str, Any], log: MetricsLog) -> Mapping[str, Any]:
            """Validates when it is due."""
            due = epoch % experiment.validation.every == 0 or epoch == experiment.epochs
            return self._validate(prepared, epoch, kept, log) if self.held is not None and due else kept

        self.folder.loop(
            prepared.plan,
            settings=experiment.to_json(),
            is_same=experiment.is_in,
            epoch_start=epoch_start,
            epoch_end=epoch_end,
        )

    def choose(self, prepared: Prepared) -> str:
        """Loads the weights that the run keeps (the average if there is one, the best by validation if there was any, and a share of its
        start) into the model; returns a description of them."""
        chosen, share = self._trained(prepared), self.experiment.start_share
        if share:
            saved = read_weights(_start(self.experiment).folder)
            if saved.sha256 != (wanted := prepared.record["training"]["start"]["sha256"]):
                raise CheckpointError(
                    "A run ends with a share of the weights it started from",
                    found=f"{self.experiment.start} with sha256 {saved.sha256[:12]}... instead of {wanted[:12]}...",
                    fix="put the old weights back, then run the same command again",
                )
            move_toward(prepared.model, saved, share)
            chosen = f"{chosen}, {share:.0%} of the start" if chosen else ""
        return chosen

    def _trained(self, prepared: Prepared) -> str:
        model, average = prepared.model, prepared.plan.average
        if average is not None:
            model.load_state_dict(average.model.state_dict())
        if not self.folder.session.first:
            return ""
        best, kind = self._best, "" if average is None else "averaged, "
        if not best.exists():
            return f"{kind}last"
        saved = load_model(best)
        restore(model, saved, source=str(best))
        epoch, mean_ap = saved.metadata["epoch"], saved.metadata["mAP"]
        return f"{kind}best on held-out source identities (epoch {epoch}, mAP {mean_ap:.4f})"

    def write(self, prepared: Prepared, chosen: str, seconds: float) -> None:
        """Checks that the model works, then writes its weights and completes the record."""
        session, model = self.folder.session, prepared.model
        embedder = Embedder(model, self.experiment.input, device=session.device, bf16=session.machine.bf16)
        require_working(embedder, self.store, session.group)
        if session.first:
            metadata = {
                "experiment": self.experiment.to_json(),
                "persons": self.training.identities,
                "chosen": chosen,
            }
            save_model(self.folder.path / "model.safetensors", model, metadata)
            self.folder.finish(prepared.record, seconds, checkpoint=chosen)
        session.group.barrier()

    @property
    def _best(self) -> Path:
        return self.folder.path / "checkpoints" / "best.safetensors"

    def _validate(self, prepared: Prepared, epoch: int, kept: Mapping[str, Any], log: MetricsLog) -> Mapping[str, Any]:
        """Scores the model (its average if there is one) on the held-out identities and saves a new best.

        Returns ``kept``, with ``best_mAP`` and ``best_epoch`` updated for a new best.
        """
        assert self.held is not None
        session, average = self.folder.session, prepared.plan.average
        # The average wraps the model passed to it above, a ReIDModel.
        model: Any = prepared.model if average is None else average.model
        scores = self.held.scores(model, self.experiment, session, epoch=epoch)
        improved = scores.mean_ap > float(kept.get("best_mAP", -1.0))
        if session.first:
            values = {"epoch": epoch, "validation_mAP": scores.mean_ap, "validation_rank1": scores.rank(1)}
            log.write(epoch * prepared.plan.steps, values)
            if improved:
                save_model(self._best, model, {"epoch": epoch, "mAP": scores.mean_ap})
        return {"best_mAP": scores.mean_ap, "best_epoch": epoch} if improved else dict(kept)

    def _model(self) -> tuple[ReIDModel, Mapping[str, Any] | None]:
        """Returns the initial model on its device, and the record's entry on the run it starts from."""
        experiment, training, started = self.experiment, self.training, None
        torch.manual_seed(experiment.seed)
        config = without_pretrained(experiment).model if experiment.start else experiment.model
        model = config.build(training.identities)
        if self.start is not None:
            saved, before = read_weights(self.start.folder), self.start.record["training"]
            same = (before.get("fingerprint"), before.get("persons")) == (training.fingerprint, training.identities)
            start_from(model, saved, same_persons=same, source=str(self.start.folder))
            started = {"run": self.start.name, "sha256": saved.sha256, "classifier": same}
        model.freeze(experiment.freeze_stages)
        device = self.folder.session.group.device
        return model.to(device).to(memory_format=torch.channels_last), started

    def _plan(self, model: ReIDModel) -> TrainingPlan:
        experiment, training, session = self.experiment, self.training, self.folder.session
        return TrainingPlan(
            model=self._with_memory(model),
            losses=experiment.losses,
            store=self.store,
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
            precision=session.machine.precision,
            compiler=backend(session.group, session.console) if self.compile_step else None,
        )

    def _with_memory(self, model: ReIDModel) -> ReIDModel | Remembering:
        """Returns the model, with prototypes of the training persons if a loss needs them."""
        momentum = memory_of(self.experiment.losses)
        if momentum is None:
            return model
        sources, group = torch.from_numpy(self.training.sources_of_persons), self.folder.session.group
        return Remembering(model, sources, model.dim, momentum=momentum, group=group).to(group.device)

    def _record(self, model: ReIDModel, started: Mapping[str, Any] | None) -> Mapping[str, Any]:
        experiment, training, former = self.experiment, self.training, self.former
        trained: dict[str, Any] = {
            "images": len(training.split),
            "persons": training.identities,
            "sources": list(training.names),
            "remarks": list(training.remarks),
            "fingerprint": training.fingerprint,
            "weights": None if experiment.start else experiment.model.backbone.weights_digest,
            "parameters": sum(p.numel() for p in model.parameters()),
            **self.folder.conditions(),
            "compiled": self.compile_step,
        }
        if former is not None:
            started = former.record["training"].get("start")
            _require_same_data(former.record["training"], trained, self.folder.path)
        if started is not None:
            trained["start"] = started
        return self.folder.start({"experiment": experiment.to_json(), "training": trained}, former)


def _start(experiment: Experiment) -> Run:
    """Opens the run that an experiment starts from. Raises ``CheckpointError``."""
    start = open_run(Path(experiment.start))
    if not start.finished:
        raise CheckpointError(
            "A run starts from a finished one",
            found=f"{start.folder}, which is not finished",
            fix="finish it first, by the command it was started with",
        )
    now, before = experiment.input, start.experiment.input
    if (now.mean, now.std) != (before.mean, before.std):
        raise CheckpointError(
            "Weights need pixels of the mean and deviation that they were trained with",
            found=f"{before.mean}, {before.std} in {start.folder}, now {now.mean}, {now.std}",
            fix="set --input.mean and --input.std to those of the run",
        )
    return start


def _require_same(former: Run, experiment: Experiment) -> None:
    before = former.experiment
    if before == experiment:  # compare values: the JSON of an older version may lack a field with a default
        return
    raise ExperimentError(
        "A run folder holds one experiment",
        found=f"{former.folder} holds one with {changed_text(before.to_json(), experiment.to_json())}",
        fix=f"give another --out folder{_train_on(former, experiment)}",
    )


def _train_on(former: Run, experiment: Experiment) -> str:
    """How to train for longer, if that is all that was asked for."""
    before = former.experiment
    if experiment.epochs <= before.epochs or replace(experiment, epochs=before.epochs) != before:
        return ""
    first = "" if former.finished else f", once it is finished with --epochs {before.epochs}"
    return f"; to train on from its weights, add --start {former.folder}{first}"


def _require_same_data(before: Mapping[str, Any], now: Mapping[str, Any], folder: Path) -> None:
    changed = [f"{before[what]} {what}, now {now[what]}" for what in ("images", "persons") if before[what] != now[what]]
    # Runs of earlier versions have no fingerprint, so compare counts.
    if not changed and before.get("fingerprint", now["fingerprint"]) != now["fingerprint"]:
        changed = ["as many images and persons, but other files or labels"]
    if changed:
        raise DataError(
            "A run continues with the images that it was started with",
            found=f"{folder} was started with {', '.join(changed)}",
            fix="restore the data set, or start again in another --out folder",
        )
