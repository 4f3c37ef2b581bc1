"""Pretrained weights: the meaning of a backbone's ``weights`` field, where files are searched and how they are read.

The network is used only for weights requested by name that are neither in an installed package nor in the local cache;
then one attempt is made and a failure is reported at once. Nothing here unpickles: safetensors, or PyTorch files read with
``weights_only=True``.
"""

import hashlib
import re
import sys
from argparse import Namespace
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PosixPath, WindowsPath
from typing import Any
from zipfile import ZipFile, is_zipfile

import numpy as np
import torch
from torch import Tensor, nn

from snreid.errors import CheckpointError, ExperimentError
from snreid.models.packaged_weights import WeightPackage, timm_names
from snreid.models.weights import require_usable, shown
from snreid.system.archives import check_growth

_FILE_ENDINGS = (".safetensors", ".pth", ".pt", ".bin", ".tar")
_HUB_FILES = ("model.safetensors", "pytorch_model.bin")
_SECONDS = 5.0
_DEEPEST = 4
"""Most wrappers, and most parts before names, one inside the other."""
_WRAPPERS = (
    "state_dict",
    "model",
    "model_state_dict",
    "net",
    "network",
    "model_ema",
    "state_dict_ema",
    "ema",
    "weights",
    "params",
)
"""Entries of checkpoints that hold the tensors; the first one there counts."""
_EXPLICIT = "give a local .safetensors or .pth file as weights, or say weights='random' for random initialization"


@dataclass(frozen=True)
class Weights:
    """A parsed ``weights`` field. Raises ``ExperimentError`` when it is empty."""

    text: str

    def __post_init__(self) -> None:
        if not self.text.strip():
            raise ExperimentError("Weights must say where they come from", found="an empty text", fix=_EXPLICIT)

    @property
    def random(self) -> bool:
        """Random initialization."""
        return self.text == "random"

    @property
    def file(self) -> Path | None:
        """The local file, or None for a name."""
        # torchreid appends the epoch to the suffix: model.pth.tar-60
        path = Path(self.text).expanduser()
        named_so = self.text.endswith(_FILE_ENDINGS) or any(part in self.text for part in ("/", "\\", ".pth."))
        return path if named_so or path.is_file() else None

    @property
    def digest(self) -> str | None:
        """SHA-256 of the local file's bytes; None for a name. Raises ``CheckpointError`` when there is no such file."""
        if self.file is None:
            return None
        with _existing(self.file).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    @property
    def tag(self) -> str:
        """timm's tag; empty for the default one."""
        return "" if self.text == "imagenet" else self.text


def hub_file(hub_id: str, *, asked: str, filename: str | None = None, package: WeightPackage | None = None) -> Path:
    """The local path of a hub repository's weights: from the cache, or downloaded after one quick check that the hub responds.

    ``hub_id``: repository, with ``@revision`` if any. ``asked``: the user's request, for the message. ``filename``:
    the file in the repository if it has a name of its own. ``package``: the package with such weights, if it is not
    installed, for the message. Raises ``CheckpointError``.
    """
    import huggingface_hub as hub
    from huggingface_hub import constants
    from huggingface_hub.errors import EntryNotFoundError

    repository, _, revision = hub_id.partition("@")
    names = (filename,) if filename else _HUB_FILES
    for name in names:
        cached = hub.try_to_load_from_cache(repository, name, revision=revision or None)
        if isinstance(cached, str):
            return Path(cached)
    reason = "the environment says HF_HUB_OFFLINE"
    if not constants.HF_HUB_OFFLINE:
        for name in names:
            try:
                # One attempt without retries; the downloader's own would take half a minute or more.
                hub.get_hf_file_metadata(hub.hf_hub_url(repository, name, revision=revision or None), timeout=_SECONDS)
                return Path(hub.hf_hub_download(repository, name, revision=revision or None, etag_timeout=_SECONDS))
            except EntryNotFoundError as error:
                reason = f"the repository has no {name} ({type(error).__name__})"
            except Exception as error:  # whatever the network does, the user reads one sentence
                message = (str(error).strip() or "no reason given").splitlines()[0][:120]
                reason = f"the hub did not answer ({type(error).__name__}: {message})"
                break
    places = "in an installed package, in the local cache" if package else "in the local cache"
    raise CheckpointError(
        f"Pretrained weights {asked} must be {places} or within reach of the network",
        found=(f"no package {package.package}, " if package else "")
        + f"no {' or '.join(names)} of hub repository {hub_id} under {constants.HF_HUB_CACHE}, and {reason}",
        fix=(f"{package.install}, or " if package else "")
        + f"go online once, so that the hub's cache has them, or {_EXPLICIT}",
    )


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Names and tensors of a weight file, or of the run in a folder, on the CPU. Opens what a checkpoint wraps them in (``_WRAPPERS``).

    Raises ``CheckpointError`` when the file is missing, damaged, or holds anything but tensors and plain values.
    """
    path = _existing(path)
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            content: Any = load_file(path)
        else:
            if is_zipfile(path):
                with ZipFile(path) as archive:
                    check_growth(path.stat().st_size, sum(member.file_size for member in archive.infolist()))
            with torch.serialization.safe_globals(_harmless()):
                content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # readers of damaged files raise anything
        raise CheckpointError(
            "A weight file must be readable as safetensors or as a PyTorch file of tensors only",
            found=f"{path}: {type(error).__name__}: {_reason(error)}",
            fix="get the file again, or, if it holds more than tensors, save those alone where it was made: "
            "torch.save(checkpoint['state_dict'], 'weights.pth')",
        ) from error
    for _ in range(_DEEPEST):
        inner = [content[name] for name in _WRAPPERS if isinstance(content, Mapping) and name in content]
        content = next((value for value in inner if isinstance(value, Mapping)), content)
    state = {str(k): v for k, v in content.items() if isinstance(v, Tensor)} if isinstance(content, Mapping) else {}
    if not state:
        held = shown(list(map(str, content))) if isinstance(content, Mapping) else type(content).__name__
        raise CheckpointError(
            "A weight file must hold named tensors, by themselves or as its state_dict",
            found=f"{path} with {held or 'nothing'}",
            fix="save the tensors alone where it was made: torch.save(network.state_dict(), 'weights.pth')",
        )
    return state


def _reason(error: Exception) -> str:
    """The defect of a file, in one line. torch's message on refusing to unpickle explains unsafe loading: not repeated here."""
    message = " ".join(str(error).split())
    if type(error).__name__ == "UnpicklingError":
        forbidden = re.search(r"GLOBAL (\S+)", message)
        return f"it holds {forbidden[1]}, which is no tensor" if forbidden else "it is no pickle of tensors"
    return message[:160] or "it is empty or ends too early"


def _harmless() -> list[Any]:
    """Types of what checkpoints have beside their tensors: numbers and arrays of numpy (torchreid's rank1), the options of the training
    script. To make one runs no code of the file. Two functions have new names in numpy 2."""
    number, array = np.float64().__reduce__()[0], np.empty(0).__reduce__()[0]
    makers: list[Any] = [
        (function, f"numpy.{core}.multiarray.{name}")
        for core in ("core", "_core")
        for function, name in ((number, "scalar"), (array, "_reconstruct"))
    ]
    kinds = {type(np.dtype(kind)) for kind in (*np.typecodes["All"].replace("O", ""), "U1", "S1")}
    return [*makers, np.dtype, np.ndarray, *kinds, Namespace, PosixPath, WindowsPath]


def _existing(path: Path) -> Path:
    """The file, or the weights of the run in a folder."""
    file = path / "model.safetensors" if path.is_dir() else path
    if not file.is_file():
        raise CheckpointError("A weight file must exist", found=f"no file {file}", fix=_EXPLICIT)
    return file


def fit_weights(network: nn.Module, state: dict[str, Tensor], *, source: str) -> None:
    """Load a classification network's weights into a timm network without a classifier.

    Applies timm's own conversion of foreign or resized weights if the network's module has one, and knows the tensor names of
    the weights packaged for pip. Drops classifier weights, and a prefix that most names share.

    Raises ``CheckpointError`` naming tensors that are missing, left over, of another shape or not finite.
    """
    wanted = network.state_dict()
    found: list[tuple[int, list[str]]] = []
    for inner in _peeled(state):
        fitted = _converted(inner, network, wanted)
        misfits = _misfits(fitted, wanted)
        if not any(misfits.values()):
            require_usable({name: t for name, t in fitted.items() if not t.is_meta}, source=source)
            network.load_state_dict(fitted, strict=False)
            return
        differences = [f"{len(names)} {what} ({shown(names)})" for what, names in misfits.items() if names]
        found.append((sum(map(len, misfits.values())), differences))
    raise CheckpointError(
        "Pretrained weights must fit the backbone tensor by tensor",
        found=f"{source}: {'; '.join(min(found)[1])}",
        fix="give the weights of this architecture, or change name, channels, layers or image_size to theirs",
    )


def _peeled(state: dict[str, Tensor]) -> Iterator[dict[str, Tensor]]:
    """The weights as they are, then without the first part of their names that most of them share, again and again.

    A part of a larger network (``base.``, ``encoder.``), ``DataParallel`` (``module.``) and ``torch.compile`` (``_orig_mod.``) put such
    a part before the names; what is beside it (``classifier.``) is not of the backbone.
    """
    yield state
    for _ in range(_DEEPEST):
        firsts = Counter(name.partition(".")[0] for name in state if "." in name)
        first, count = next(iter(firsts.most_common(1)), ("", 0))
        if count * 2 <= len(state):
            return
        state = {name.removeprefix(f"{first}."): t for name, t in state.items() if name.startswith(f"{first}.")}
        yield state


def _converted(state: dict[str, Tensor], network: nn.Module, wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights under the names of the network's own tensors, without a classifier."""
    convert: Callable[..., dict[str, Tensor]] | None = getattr(
        sys.modules[type(network).__module__], "checkpoint_filter_fn", None
    )
    if convert is not None:
        with suppress(
            KeyError, IndexError, ValueError, RuntimeError, AttributeError
        ):  # names or shapes of another network
            state = convert(dict(state), network)
    state = {_own_name(key, wanted): value for key, value in timm_names(state, wanted).items()}
    classifiers = _classifiers(network)
    return {key: value for key, value in state.items() if key in wanted or not key.startswith(classifiers)}


def _misfits(state: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> dict[str, list[str]]:
    """The tensors that do not fit, by what is wrong with them."""
    return {
        # Old checkpoints have no batch counters and nothing depends on them.
        "missing": [key for key in wanted if key not in state and not key.endswith("num_batches_tracked")],
        "unexpected": [key for key in state if key not in wanted],
        "of another shape": [
            f"{key} {tuple(value.shape)} instead of {tuple(wanted[key].shape)}"
            for key, value in state.items()
            if key in wanted and value.shape != wanted[key].shape
        ],
    }


def _own_name(name: str, wanted: Mapping[str, Tensor]) -> str:
    """The two halves of IBN-a are called IN and BN in all public checkpoints."""
    renamed = name.replace(".IN.", ".instance.").replace(".BN.", ".batch.")
    return renamed if renamed in wanted else name


def _classifiers(network: nn.Module) -> tuple[str, ...]:
    settings: Any = getattr(network, "pretrained_cfg", None) or {}
    names = settings.get("classifier") or ()
    names = (names,) if isinstance(names, str) else tuple(names)
    return tuple(f"{name}." for name in (*names, "fc", "classifier", "head.fc"))
