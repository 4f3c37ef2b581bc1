"""Networks: backbones with stages, SNR, the schemes it is compared with, the ReID head.

Public: ``SNR``, ``ModelConfig``, ``ReIDModel``, ``Backbone``, ``Head`` and the schemes.
"""

from snreid.models.backbone import Backbone, Stage, Trunk
from snreid.models.head import Head
from snreid.models.norms import IBN, AllInstance, AllSwitchable, Plain, Scheme, StageInstance, StageSNR
from snreid.models.reid import ModelConfig, ReIDModel
from snreid.models.snr import SNR, SNRSplit

__all__ = [
    "IBN",
    "SNR",
    "AllInstance",
    "AllSwitchable",
    "Backbone",
    "Head",
    "ModelConfig",
    "Plain",
    "ReIDModel",
    "SNRSplit",
    "Scheme",
    "Stage",
    "StageInstance",
    "StageSNR",
    "Trunk",
]
