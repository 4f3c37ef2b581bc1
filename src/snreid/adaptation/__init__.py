"""Unsupervised adaptation methods: they adapt a trained model to a target's images, never using its labels (method.md 7).

A method is a frozen keyword-only dataclass whose ``fit`` changes the model of an ``AdaptationJob`` in place. ``adapt_run`` calls it and
writes a run folder that every other command accepts.
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
