"""Images in, embeddings out: the interface for evaluation, the command line and user code."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from snreid.errors import CheckpointError, DataError, DivergenceError, ExperimentError
from snreid.images.loading import PixelStore, Progress
from snreid.images.reading import BadImage, Interpolation, listed
from snreid.images.resized import resized
from snreid.images.transforms import InputFormat, StoredImages
from snreid.inference.folding import Folded, folded, fused
from snreid.inference.inputs import ImageInput, image_sources
from snreid.models.reid import ReIDModel
from snreid.records import NO_CAMERA, Features, Sample, Split
from snreid.training.distributed import ProcessGroup, chosen_device
from snreid.training.parallel import agree

EmbedBatch = Callable[[StoredImages], NDArray[np.float32]]
"""uint8 images (B, 3, H, W) to embeddings (B, D)."""
Batch = int | Literal["measured"]
"""Images per call of the network: a number, or the size that is fastest here (``Fastest``)."""
LeaveOut = Callable[[Mapping[int, BadImage]], None]
"""Called with the images left out: their positions in the list of images, ascending, and the reasons."""
SHOWN_BAD = 5
"""Most images named in a message."""
_SIZES = {"cpu": (4, 8, 16, 32), "cuda": (64, 128, 256, 512)}
_AT_ONCE = 32
"""Most images that a folded network on a CPU processes at once."""
USUAL_BATCH = 128
"""Images read together, and by default embedded together."""
_TRIALS = 3
"""How often each size is tried; the first trial is warm-up."""
_TRIED = 64
"""Images that a working model must embed in the check."""
_SHORTEST = 1e-12
"""An embedding of this length or a shorter one counts as zero."""


class Embedder:
    """A model with the input format it was trained on, in eval mode.

    Example:
        >>> import snreid
        >>> embedder = snreid.load("runs/snr")                    # doctest: +SKIP
        >>> embedder.extract(["a.jpg", "b.jpg"]).shape            # doctest: +SKIP
        (2, 512)
    """

    def __init__(
        self,
        model: ReIDModel,
        input: InputFormat,
        *,
        device: str = "cpu",
        bf16: bool = False,
        fold: bool = False,
        fuse: bool = False,
    ) -> None:
        """Stores its arguments.

        Args:
            model: A trained model.
            input: The input format that it was trained on.
            device: Device for the images; the model must be there.
            bf16: Whether to compute under bfloat16 autocast; embeddings are float32 in any case.
            fold: Whether to use the folded form of the model (``folding.py``), made at the first call and again if a weight changes.
            fuse: With ``fold`` on a CPU: whether to use oneDNN's fused convolutions, which are private operators of torch.

        Raises:
            ExperimentError: There is no such device.
        """
        self.model, self.input, self.device, self.bf16 = model, input, chosen_device(device), bf16
        self.fold, self.fuse = fold, fuse
        self._folded: Folded | None = None
        self._folded_from: tuple[tuple[int, int], ...] = ()

    def __repr__(self) -> str:
        return f"<Embedder: input {self.input.height} x {self.input.width}, {self.model.dim} dimensions, {self.device}>"

    def __call__(self, images: StoredImages) -> NDArray[np.float32]:
        """uint8 images (B, 3, H, W) of the input size to embeddings (B, D), float32, not L2-normalized.

        Raises:
            DataError: The images are of another type, form or size; ``extract`` takes any size.
        """
        self._require_images(images)
        if not len(images):  # no statistics without images; any image gives the embedding's length
            return self(images.new_zeros(1, 3, self.input.height, self.input.width))[:0]
        images = images.to(self.device)
        was_training = self.model.training
        self.model.eval()
        network = self._network() if self.fold else self.model.embed
        # With many images at once the maps of the first layers fit in no cache, and each is allocated from the system again.
        step = _AT_ONCE if self.fold and self.device.type == "cpu" else len(images)
        kind = next(self.model.parameters()).dtype  # not float32 if the user has cast the model
        with torch.inference_mode(), self.autocast():
            parts = [
                network(self.input.normalize(part).to(kind).contiguous(memory_format=torch.channels_last))
                for part in torch.split(images, step)
            ]
            vectors = torch.cat(parts)
        self.model.train(was_training)
        return np.asarray(vectors.float().cpu().numpy(), dtype=np.float32)

    def _require_images(self, images: object) -> None:
        size = (3, self.input.height, self.input.width)
        if isinstance(images, torch.Tensor) and images.dtype == torch.uint8 and images.shape[1:] == size:
            return
        found = type(images).__name__
        if isinstance(images, torch.Tensor | np.ndarray):
            found = f"{found} of shape {tuple(images.shape)} and type {images.dtype}"
        raise DataError(
            f"The network takes a uint8 tensor (B, {size[0]}, {size[1]}, {size[2]}), RGB",
            found=found,
            fix="give them to the embedder's extract, which takes paths, arrays and tensors of any size",
        )

    def _network(self) -> Folded:
        """The folded form of the model in its current state."""
        # A tensor counts its changes; a form folded before one of them is out of date.
        now = tuple((id(t), t._version) for t in (*self.model.parameters(), *self.model.buffers()))
        if self._folded is None or now != self._folded_from:
            size = self.input.height, self.input.width
            self._folded, self._folded_from = folded(self.model, size).to(memory_format=torch.channels_last), now
            if self.fuse and self.device.type == "cpu":
                self._folded = fused(self._folded, size, bf16=self.bf16)
        return self._folded

    def autocast(self) -> torch.autocast:
        """The precision of this embedder, as a context; a model cast as a whole has its own."""
        kind = next(self.model.parameters()).dtype
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16 and kind != torch.float16)

    def extract(
        self,
        images: ImageInput | Sequence[ImageInput],
        *,
        boxes: ArrayLike | None = None,
        batch: Batch = "measured",
        tell: Callable[[int], None] | None = None,
        leave_out: LeaveOut | None = None,
        group: ProcessGroup | None = None,
    ) -> NDArray[np.float32]:
        """Embeds images.

        Args:
            images: A path, a folder, a uint8 RGB array (H, W, 3), a PIL image, an RGB tensor (3, H, W), or a list of
                them; arrays and tensors may have a batch dimension (``snreid.inference.inputs.image_sources`` has the
                details).
            boxes: (N, 4) rows (left, top, right, bottom) in pixels to cut out of one image, a frame with its detections.
            batch: Images at a time.
            tell: Called with the fastest batch size, once it is known.
            leave_out: Called with the images that cannot be read, which then have no row.
            group: Processes that read and embed a contiguous part each; all receive the whole result.

        Returns:
            (N, D) float32, L2-normalized: dot products are cosine similarities.

        Raises:
            DataError: An image cannot be read and there is no ``leave_out``, or no image can be read.
            ExperimentError: ``batch`` is below 1.
            CheckpointError: An embedding holds NaN or infinity, or only zeros.

        Example:
            >>> embedder = snreid.load("runs/snr")                                    # doctest: +SKIP
            >>> embedder.extract(frame, boxes=[[10, 20, 60, 170]]).shape              # doctest: +SKIP
            (1, 512)
        """
        size, sizes = (self.input.height, self.input.width), _SIZES.get(self.device.type, _SIZES["cuda"])
        return extract(
            self, size, images, boxes=boxes, batch=batch, sizes=sizes, tell=tell, leave_out=leave_out, group=group
        )


def extract(
    embed: EmbedBatch,
    size: tuple[int, int],
    images: ImageInput | Sequence[ImageInput],
    *,
    boxes: ArrayLike | None = None,
    batch: Batch = "measured",
    sizes: tuple[int, ...] = _SIZES["cpu"],
    tell: Callable[[int], None] | None = None,
    leave_out: LeaveOut | None = None,
    group: ProcessGroup | None = None,
    by: Interpolation = "bilinear",
    unit: bool = True,
) -> NDArray[np.float32]:
    """``Embedder.extract`` for any callable that embeds uint8 images of ``size`` (height, width), resized by the filter ``by``;
    without ``unit`` the rows keep their lengths."""
    if batch != "measured" and (not isinstance(batch, int) or batch < 1):
        raise ExperimentError(
            "A batch has at least one image", found=f"batch={batch!r}", fix="leave it out; the fastest is measured"
        )
    sources = image_sources(images, boxes)
    if not sources and boxes is not None:
        return embed(torch.zeros(1, 3, *size, dtype=torch.uint8))[:0]
    if not sources:
        raise DataError("Extraction needs at least one image", found="none", fix="give images, or a folder of them")
    mine = _share(len(sources), group)
    samples = tuple(Sample(sources[place], 1, NO_CAMERA) for place in mine)
    store = PixelStore(resized(Split(samples), *size, by), *size)
    unreadable, good = store.open(), store.good
    missing = np.setdiff1d(np.arange(len(mine)), good) + mine.start
    bad = _known_to_all(dict(zip(missing.tolist(), unreadable, strict=True)), group)
    if bad and (leave_out is None or len(bad) == len(sources)):
        raise DataError(
            "Every image must be readable",
            found=f"{len(bad)} of {len(sources)} are not: {listed(list(bad.values()), SHOWN_BAD)}",
            fix="restore these files"
            + (", or go on without them: --skip-bad (in Python leave_out)" if leave_out is None else ""),
        )
    if bad and leave_out is not None:
        leave_out(bad)
    store = store.only(good)
    if batch == "measured":
        fastest = Fastest(embed, sizes)
        vectors = features(fastest, store, batch=max(USUAL_BATCH, *sizes)).embeddings
        if tell is not None and fastest.chosen is not None:
            tell(fastest.chosen)
    else:
        vectors = features(embed, store, batch=batch).embeddings
    whole = _joined(np.asarray(vectors, np.float32), group)
    lengths = _lengths(whole, [source.name for place, source in enumerate(sources) if place not in bad])
    return np.asarray(whole / lengths[:, None], dtype=np.float32) if unit else whole


def _lengths(vectors: NDArray[np.float32], names: Sequence[str]) -> NDArray[np.float32]:
    """(N,) L2 norms of the embeddings (N, D) of the images called ``names``. Raises ``CheckpointError`` with the first one's name
    where one is 0 or not finite."""
    with np.errstate(over="ignore", invalid="ignore"):  # this is what the check detects
        lengths = np.linalg.norm(vectors, axis=1)
        broken = np.flatnonzero(~(np.isfinite(lengths) & (lengths > _SHORTEST)))
    if not len(broken):
        return np.asarray(lengths, dtype=np.float32)
    first = int(broken[0])
    raise CheckpointError(
        "A model embeds every image as finite numbers that are not all 0",
        found=f"{'only zeros' if lengths[first] <= _SHORTEST else 'NaN or infinity'} for {names[first]}"
        + (f" and {len(broken) - 1} of the {len(vectors) - 1} other images" if len(broken) > 1 else ""),
        fix="use another run or file: the weights of this one, or its mean and std, are broken",
    )


def _share(count: int, group: ProcessGroup | None) -> range:
    """The part of ``count`` images that this process embeds."""
    rank, world = (group.rank, group.world) if group is not None else (0, 1)
    return range(rank * count // world, (rank + 1) * count // world)


def _known_to_all(bad: dict[int, BadImage], group: ProcessGroup | None) -> dict[int, BadImage]:
    """The bad images of all processes, by position in the whole list, ascending."""
    if group is None:
        return bad
    text = json.dumps([[place, image.name, image.reason] for place, image in bad.items()]).encode()
    parts = group.gather_arrays(np.frombuffer(text, dtype=np.uint8))
    return {place: BadImage(name, reason) for part in parts for place, name, reason in json.loads(bytes(part))}


def _joined(vectors: NDArray[np.float32], group: ProcessGroup | None) -> NDArray[np.float32]:
    """The embeddings of all processes, in rank order; a process without images does not know their dimension."""
    if group is None:
        return vectors
    return np.concatenate([part for part in group.gather_arrays(vectors) if part.size])


class Fastest:
    """An embedder that splits its input into batches of the size it measures as fastest.

    Embeds the first images in batches of each of ``sizes`` in turn, ``_TRIALS`` times; these embeddings count like all others, so
    measuring costs only the time lost on slower sizes. Embeddings depend on the size only by rounding. Until all have been tried, and
    for sets too small for that, the second size is used.
    """

    def __init__(
        self, embed: EmbedBatch, sizes: tuple[int, ...], *, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._embed, self.sizes, self._clock = embed, sizes, clock
        self._plan = [size for _ in range(_TRIALS) for size in sizes]
        self._seconds: dict[int, list[float]] = {size: [] for size in sizes}
        self.chosen: int | None = None
        """The fastest size; None until it is known."""

    def __call__(self, images: StoredImages) -> NDArray[np.float32]:
        """As the wrapped embedder."""
        parts, at = [], 0
        while at < len(images):
            size = self.chosen or next((s for s in self._plan if s <= len(images) - at), self.sizes[1])
            part = images[at : at + size]
            began = self._clock()
            parts.append(self._embed(part))
            if self.chosen is None and len(part) == size and size in self._plan:
                self._plan.remove(size)
                self._seconds[size].append((self._clock() - began) / size)
                if not self._plan:
                    self.chosen = min(self.sizes, key=lambda size: min(self._seconds[size][1:]))
            at += len(part)
        return np.concatenate(parts)


def features(
    embed: EmbedBatch,
    store: PixelStore,
    *,
    batch: int = USUAL_BATCH,
    group: ProcessGroup | None = None,
    progress: Progress | None = None,
) -> Features:
    """Features of all images of an opened ``store``. With several processes each embeds a contiguous part; all receive the whole."""
    mine = np.asarray(_share(len(store.split), group), dtype=np.int64)
    parts = []
    batches = [mine[i : i + batch] for i in range(0, len(mine), batch)]
    for done, images in enumerate(store.batches(batches), start=1):
        parts.append(embed(images))
        if progress is not None:
            progress(min(done * batch, len(mine)), len(mine))
    vectors = _joined(np.concatenate(parts) if parts else np.zeros((0, 0), np.float32), group)
    return Features(vectors, store.split.persons, store.split.cameras, tuple(s.image.name for s in store.split.samples))


def require_finite(vectors: NDArray[np.float32] | NDArray[np.float16], *, where: str) -> None:
    """Raises ``DivergenceError`` unless every value of the embeddings (N, D), and their length in float32, is finite. ``where``: their
    origin, for the message."""
    if not _finite(vectors):
        raise _not_finite(where)


def require_working(embed: EmbedBatch, store: PixelStore, group: ProcessGroup) -> None:
    """Raises ``DivergenceError`` in every process when the first one does not embed a few images of an opened ``store`` as finite
    numbers: losses may be finite while running statistics, used only in evaluation, are not. Changes no random state.
    """
    vectors = np.zeros((0, 0), np.float32)
    if group.first:
        some = np.unique(np.linspace(0, len(store.split) - 1, _TRIED).astype(np.int64))
        with torch.random.fork_rng(devices=[]):  # torch seeds loader workers from the shared generator
            (images,) = store.batches([some])
            vectors = embed(images)
    if agree((not _finite(vectors), False), group)[0]:
        raise _not_finite("training images after the last step")


def _finite(vectors: NDArray[np.float32] | NDArray[np.float16]) -> bool:
    with np.errstate(over="ignore", invalid="ignore"):  # this is what the check detects
        return bool(np.isfinite(np.linalg.norm(vectors.astype(np.float32, copy=False), axis=1)).all())


def _not_finite(where: str) -> DivergenceError:
    return DivergenceError(
        "A trained model must embed images as finite numbers",
        found=f"NaN or infinity for {where}",
        fix="start again in another --out folder with a lower learning rate (--optimizer.lr, of MAR --lr)",
    )
