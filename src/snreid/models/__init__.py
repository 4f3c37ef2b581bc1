"""Networks: backbones with stages, SNR, the schemes to compare it with, and the ReID head.

Public: ``SNR``, ``ModelConfig``, ``ReIDModel``, ``Backbone``, ``Head`` and the schemes.
"""

from snreid.models.backbone import Backbone
from snreid.models.head import Head
from snreid.models.mixing import EFDMix, MixStyle
from snreid.models.reid import ModelConfig, ReIDModel
from snreid.models.schemes import (
    IBN,
    AllBatchInstance,
    AllInstance,
    AllSwitchable,
    IBNb,
    Plain,
    Scheme,
    StageInstance,
    StageSNR,
)
from snreid.models.snr import SNR, SNRMeans, SNRSplit
from snreid.models.trunk import Stage, Trunk

__all__ = [
    "IBN",
    "SNR",
    "AllBatchInstance",
    "AllInstance",
    "AllSwitchable",
    "Backbone",
    "EFDMix",
    "Head",
    "IBNb",
    "MixStyle",
    "ModelConfig",
    "Plain",
    "ReIDModel",
    "SNRMeans",
    "SNRSplit",
    "Scheme",
    "Stage",
    "StageInstance",
    "StageSNR",
    "Trunk",
]
