"""Person re-identification on cameras never seen in training: SNR, its baselines and a fair comparison of them.

Public names are loaded on first use, so that ``import snreid`` and the command line start without torch::

    import snreid

    snr = snreid.SNR(256)            # loads torch now
    maps = snr(maps)                 # style removed, identity restored: (B, 256, H, W) in and out

``__all__`` is the whole public surface; everything else may change without notice.
"""

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:  # the same list as _HOME, for type checkers and editors; a test holds the two together
    from snreid.adaptation import MAR, Adaptation, AdaptiveBN, ClusterContrast, Unlabelled, adapt_run
    from snreid.datasets import (
        CUHK01,
        CUHK02,
        CUHK03,
        CUHKSYSU,
        GRID,
        ILIDS,
        MSMT17,
        PRID2011,
        AllImages,
        ClonedPerson,
        Columns,
        Corrupted,
        DukeMTMC,
        FolderTree,
        Labels,
        Market1501,
        MarketFormat,
        PersonX,
        RandPerson,
        Table,
        VIPeR,
    )
    from snreid.datasets.pedestrians import DrawnPedestrians
    from snreid.errors import CheckpointError, DataError, DivergenceError, ExperimentError, Interrupted, SnreidError
    from snreid.evaluation import (
        ReRanking,
        bootstrap_interval,
        camera_pairs,
        compare,
        evaluate,
        evaluate_reranked,
        rank_lists,
        read_features,
        write_features,
    )
    from snreid.experiments import recipes
    from snreid.experiments.experiment import Experiment
    from snreid.experiments.runs import load
    from snreid.images.second_view import SecondView
    from snreid.images.transforms import Augmentation, InputFormat
    from snreid.inference.embedder import Embedder, features
    from snreid.inference.onnx_embedder import OnnxEmbedder
    from snreid.losses import (
        Alignment,
        Circle,
        CrossEntropy,
        DomainUniformity,
        DualCausality,
        EntropyCausality,
        Loss,
        Triplet,
        Uniformity,
        total_loss,
    )
    from snreid.models import (
        IBN,
        SNR,
        AllBatchInstance,
        AllInstance,
        AllSwitchable,
        Backbone,
        EFDMix,
        Head,
        IBNb,
        MixStyle,
        ModelConfig,
        Plain,
        ReIDModel,
        Scheme,
        StageInstance,
        StageSNR,
    )
    from snreid.records import DataSet, Features, Interval, RankList, ReIDData, Sample, Scores, Split
    from snreid.training.optim import SGD, Adam, AdamW, WarmupCosine, WarmupHalving, WarmupSteps
    from snreid.training.sampling import Sampling
    from snreid.training.training_set import Validation

_HOME = {
    "Adam": "snreid.training.optim",
    "AdamW": "snreid.training.optim",
    "Adaptation": "snreid.adaptation",
    "AdaptiveBN": "snreid.adaptation",
    "Alignment": "snreid.losses",
    "AllBatchInstance": "snreid.models",
    "AllImages": "snreid.datasets",
    "AllInstance": "snreid.models",
    "AllSwitchable": "snreid.models",
    "Augmentation": "snreid.images.transforms",
    "Backbone": "snreid.models",
    "CUHK01": "snreid.datasets",
    "CUHK02": "snreid.datasets",
    "CUHK03": "snreid.datasets",
    "CUHKSYSU": "snreid.datasets",
    "CheckpointError": "snreid.errors",
    "Circle": "snreid.losses",
    "ClonedPerson": "snreid.datasets",
    "ClusterContrast": "snreid.adaptation",
    "Columns": "snreid.datasets",
    "Corrupted": "snreid.datasets",
    "CrossEntropy": "snreid.losses",
    "DataError": "snreid.errors",
    "DataSet": "snreid.records",
    "DivergenceError": "snreid.errors",
    "DomainUniformity": "snreid.losses",
    "DrawnPedestrians": "snreid.datasets.pedestrians",
    "DualCausality": "snreid.losses",
    "DukeMTMC": "snreid.datasets",
    "EFDMix": "snreid.models",
    "Embedder": "snreid.inference.embedder",
    "EntropyCausality": "snreid.losses",
    "Experiment": "snreid.experiments.experiment",
    "ExperimentError": "snreid.errors",
    "Features": "snreid.records",
    "FolderTree": "snreid.datasets",
    "GRID": "snreid.datasets",
    "Head": "snreid.models",
    "IBN": "snreid.models",
    "IBNb": "snreid.models",
    "ILIDS": "snreid.datasets",
    "InputFormat": "snreid.images.transforms",
    "Interrupted": "snreid.errors",
    "Interval": "snreid.records",
    "Labels": "snreid.datasets",
    "Loss": "snreid.losses",
    "MAR": "snreid.adaptation",
    "MSMT17": "snreid.datasets",
    "Market1501": "snreid.datasets",
    "MarketFormat": "snreid.datasets",
    "MixStyle": "snreid.models",
    "ModelConfig": "snreid.models",
    "OnnxEmbedder": "snreid.inference.onnx_embedder",
    "PRID2011": "snreid.datasets",
    "PersonX": "snreid.datasets",
    "Plain": "snreid.models",
    "RandPerson": "snreid.datasets",
    "RankList": "snreid.records",
    "ReIDData": "snreid.records",
    "ReIDModel": "snreid.models",
    "ReRanking": "snreid.evaluation",
    "SGD": "snreid.training.optim",
    "SNR": "snreid.models",
    "Sample": "snreid.records",
    "Sampling": "snreid.training.sampling",
    "Scheme": "snreid.models",
    "Scores": "snreid.records",
    "SecondView": "snreid.images.second_view",
    "SnreidError": "snreid.errors",
    "Split": "snreid.records",
    "StageInstance": "snreid.models",
    "StageSNR": "snreid.models",
    "Table": "snreid.datasets",
    "Triplet": "snreid.losses",
    "Unlabelled": "snreid.adaptation",
    "Uniformity": "snreid.losses",
    "VIPeR": "snreid.datasets",
    "Validation": "snreid.training.training_set",
    "WarmupCosine": "snreid.training.optim",
    "WarmupHalving": "snreid.training.optim",
    "WarmupSteps": "snreid.training.optim",
    "adapt_run": "snreid.adaptation",
    "bootstrap_interval": "snreid.evaluation",
    "camera_pairs": "snreid.evaluation",
    "compare": "snreid.evaluation",
    "evaluate": "snreid.evaluation",
    "evaluate_reranked": "snreid.evaluation",
    "features": "snreid.inference.embedder",
    "load": "snreid.experiments.runs",
    "rank_lists": "snreid.evaluation",
    "read_features": "snreid.evaluation",
    "recipes": "snreid.experiments",
    "total_loss": "snreid.losses",
    "write_features": "snreid.evaluation",
}
"""Where each public name lives."""

__all__ = [
    "CUHK01",
    "CUHK02",
    "CUHK03",
    "CUHKSYSU",
    "GRID",
    "IBN",
    "ILIDS",
    "MAR",
    "MSMT17",
    "PRID2011",
    "SGD",
    "SNR",
    "Adam",
    "AdamW",
    "Adaptation",
    "AdaptiveBN",
    "Alignment",
    "AllBatchInstance",
    "AllImages",
    "AllInstance",
    "AllSwitchable",
    "Augmentation",
    "Backbone",
    "CheckpointError",
    "Circle",
    "ClonedPerson",
    "ClusterContrast",
    "Columns",
    "Corrupted",
    "CrossEntropy",
    "DataError",
    "DataSet",
    "DivergenceError",
    "DomainUniformity",
    "DrawnPedestrians",
    "DualCausality",
    "DukeMTMC",
    "EFDMix",
    "Embedder",
    "EntropyCausality",
    "Experiment",
    "ExperimentError",
    "Features",
    "FolderTree",
    "Head",
    "IBNb",
    "InputFormat",
    "Interrupted",
    "Interval",
    "Labels",
    "Loss",
    "Market1501",
    "MarketFormat",
    "MixStyle",
    "ModelConfig",
    "OnnxEmbedder",
    "PersonX",
    "Plain",
    "RandPerson",
    "RankList",
    "ReIDData",
    "ReIDModel",
    "ReRanking",
    "Sample",
    "Sampling",
    "Scheme",
    "Scores",
    "SecondView",
    "SnreidError",
    "Split",
    "StageInstance",
    "StageSNR",
    "Table",
    "Triplet",
    "Uniformity",
    "Unlabelled",
    "VIPeR",
    "Validation",
    "WarmupCosine",
    "WarmupHalving",
    "WarmupSteps",
    "__version__",
    "adapt_run",
    "bootstrap_interval",
    "camera_pairs",
    "compare",
    "evaluate",
    "evaluate_reranked",
    "features",
    "load",
    "rank_lists",
    "read_features",
    "recipes",
    "total_loss",
    "write_features",
]


def __getattr__(name: str) -> object:
    """The public name, from its home. Raises ``AttributeError`` for any other, with the nearest that exists."""
    if name in _HOME:
        home = _HOME[name]
        value: object = import_module(f"{home}.{name}") if name == "recipes" else getattr(import_module(home), name)
        globals()[name] = value  # the next time it is simply there
        return value
    from difflib import get_close_matches

    close = get_close_matches(name, _HOME, n=1, cutoff=0.5)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    raise AttributeError(f"snreid has no public name {name!r}{hint}")


def __dir__() -> list[str]:
    """The public names, loaded or not."""
    return sorted(set(globals()) | set(__all__))
