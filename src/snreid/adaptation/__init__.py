"""FAMILY of unsupervised adaptations: frozen values that change a trained model by a target's images, never by its labels (method.md 7).

A method is a frozen keyword-only dataclass with one verb, ``fit``, which changes the model of an ``AdaptationJob`` in place. ``adapt_run``
calls it and leaves a run folder that every other command accepts.
"""

from snreid.adaptation.adaptive_bn import AdaptiveBN
from snreid.adaptation.api import adapt
from snreid.adaptation.base import Adaptation, methods
from snreid.adaptation.clustering import ClusterContrast
from snreid.adaptation.folder import adapt_run
from snreid.adaptation.job import AdaptationJob, SourceImages
from snreid.adaptation.mar import MAR
from snreid.adaptation.unlabelled import Unlabelled

__all__ = [
    "MAR",
    "Adaptation",
    "AdaptationJob",
    "AdaptiveBN",
    "ClusterContrast",
    "SourceImages",
    "Unlabelled",
    "adapt",
    "adapt_run",
    "methods",
]
