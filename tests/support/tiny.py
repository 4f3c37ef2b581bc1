"""The smallest things the real program can run on: ten drawn people, a network of at most eight channels, two epochs."""

from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from rich.console import Console
from torch import nn

from snreid.datasets import DrawnPedestrians
from snreid.experiments import recipes
from snreid.experiments.experiment import Experiment
from snreid.experiments.job import train
from snreid.experiments.runs import Run
from snreid.images.loading import PixelStore
from snreid.images.reading import FileImage
from snreid.images.transforms import InputFormat
from snreid.models.backbone import Backbone
from snreid.models.snr import SNR
from snreid.records import DataSet, ReIDData, Sample, Split
from snreid.system.machine import Machine
from snreid.training.distributed import ProcessGroup
from snreid.training.plan import TrainingPlan
from snreid.training.sampling import IdentityBatches, Sampling
from snreid.training.session import Session
from snreid.training.training_set import join

OPTIONS = "train_persons=6,test_persons=4,images_per_camera=2,cameras_per_person=2,height=64"
SOURCE, TARGET = f"noon:{OPTIONS}", f"dusk:{OPTIONS}"
"""Data sets as a person types them."""
_TYPED = (
    "--model.backbone.channels 4 4 8 8 --input.height 32 --input.width 16 --sampling.persons 3 --sampling.images 2 "
    "--epochs 2 --workers 0 --device cpu"
)
FLAGS = _TYPED.split()
"""Settings as a person types them."""
ALONE = ProcessGroup(rank=0, world=1, device=torch.device("cpu"))


def drawn(domain: str = "noon", **changes: Any) -> DrawnPedestrians:
    """The data set of ``SOURCE``, or of another domain."""
    small = DrawnPedestrians(
        domain=domain, train_persons=6, test_persons=4, images_per_camera=2, cameras_per_person=2, height=64
    )
    return replace(small, **changes)


def experiment(recipe: str = "baseline", **changes: Any) -> Experiment:
    """The recipe with the settings of ``FLAGS``, trained on ``SOURCE``."""
    start = recipes.all_recipes()[recipe]("small")
    small = replace(
        start,
        sources=(drawn(),),
        model=replace(start.model, backbone=Backbone(name="resnet18", weights="random", channels=(4, 4, 8, 8))),
        input=InputFormat(height=32, width=16),
        sampling=Sampling(persons=3, images=2),
        epochs=2,
    )
    return replace(small, **changes)


def plan(recipe: str = "baseline", *, epochs: int = 2, batches: int = 4, **changes: Any) -> TrainingPlan:
    """A training of few steps on drawn people, batches of 3 x 2 images, the same start for everyone who asks."""
    settings, training = experiment(recipe), join([drawn().read(Path())])
    store = PixelStore(training.split, 32, 16)
    assert store.open() == ()
    torch.manual_seed(0)
    made = TrainingPlan(
        model=settings.model.build(training.identities).to(memory_format=torch.channels_last),  # type: ignore[call-overload]
        losses=settings.losses,
        store=store,
        persons=training.persons,
        batches=IdentityBatches(settings.sampling, training.persons, training.domains, 0, batches),
        augmentation=settings.augmentation,
        input=settings.input,
        optim=settings.optimizer,
        schedule=replace(settings.schedule, warmup_epochs=1),
        epochs=epochs,
        seed=0,
    )
    return replace(made, **changes)


def console() -> Console:
    """One that keeps what it is told, in ``.file``."""
    return Console(file=StringIO(), width=160)


def session(*, group: ProcessGroup = ALONE, talk: Console | None = None, **changes: Any) -> Session:
    """One process on the CPU without workers; ``changes`` are machine settings. ``talk``: where to report."""
    return Session.start(Machine(**{"device": "cpu", "workers": 0, **changes}), group=group, console=talk or console())


def trained(out: Path, recipe: str = "baseline", **changes: Any) -> Run:
    """A finished run, in about a second."""
    return train(experiment(recipe, **changes), out, session())


def picture_files(folder: Path, count: int, *, damaged: tuple[int, ...] = ()) -> list[Path]:
    """``count`` PNG files of noise; those numbered in ``damaged`` are cut short."""
    folder.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(1)
    paths = [folder / f"{number:03d}.png" for number in range(count)]
    for number, path in enumerate(paths):
        Image.fromarray(noise.integers(0, 256, (40, 20, 3), dtype=np.uint8)).save(path)
        if number in damaged:
            path.write_bytes(path.read_bytes()[:200])
    return paths


def data_of(paths: list[Path], persons: list[int], cameras: list[int], name: str = "files") -> ReIDData:
    """A training set of image files."""
    samples = (Sample(FileImage(str(path)), p, c) for path, p, c in zip(paths, persons, cameras, strict=True))
    empty = Split(())
    return ReIDData(name, Split(tuple(samples)), empty, empty)


@dataclass(frozen=True, kw_only=True)
class Files(DataSet):
    """Six people with four pictures each, in files; ``damaged`` of them cut short. The test images are those of the training."""

    folder: Path
    damaged: tuple[int, ...] = ()
    cameras: int = 2

    @property
    def name(self) -> str:
        """``files``."""
        return "files"

    def read(self, root: Path) -> ReIDData:
        """Writes the files and names them."""
        paths = picture_files(self.folder, 24, damaged=self.damaged)
        data = data_of(paths, [1 + i // 4 for i in range(24)], [1 + i % self.cameras for i in range(24)])
        return replace(data, query=data.train, gallery=data.train)


def lively(model: nn.Module) -> nn.Module:
    """The model with norms and gates as training leaves them. Fresh ones are all alike; a narrow untrained network embeds all as zeros."""
    random = torch.Generator().manual_seed(0)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            for tensor, middle, width in (
                (module.weight, 1.0, 0.3),
                (module.bias, 0.2, 0.3),
                (module.running_mean, 0.0, 0.3),
                (module.running_var, 1.0, 0.0),
            ):
                assert tensor is not None
                tensor.data = middle + width * torch.randn(tensor.shape, generator=random)
        if isinstance(module, SNR):
            for name, tensor in module.named_parameters():
                tensor.data = (name == "gamma") + 0.5 * torch.randn(tensor.shape, generator=random)
    return model


def colour_onnx(path: Path) -> Path:
    """An ONNX file that embeds an image of 32 x 16 pixels as the mean of each normalized channel; it does not tell its mean and std."""
    import onnx
    from onnx import TensorProto, helper

    nodes = [
        helper.make_node("GlobalAveragePool", ["images"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["embedding"]),
    ]
    images = helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", 3, 32, 16])
    embedding = helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["batch", 3])
    graph = helper.make_graph(nodes, "colour", [images], [embedding])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))
    return path
