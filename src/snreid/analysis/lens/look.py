"""All of the lens: images and data sets through a trained model, as the record of the page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from torch import Tensor

from snreid.analysis.lens.capture import StageLook, dissect
from snreid.analysis.lens.choose import Chosen, Sets, group
from snreid.analysis.lens.neighbours import Mixing, mixing, plane, standardized, unit
from snreid.analysis.lens.style import ChannelStatistics, style_matrix, summarize
from snreid.errors import DataError
from snreid.figures.lens_records import (
    BINS,
    Cloud,
    GateValues,
    Lens,
    Mixed,
    NeighbourShare,
    SeenImage,
    StageMaps,
    StyleTable,
)
from snreid.images.loading import PixelStore
from snreid.images.reading import listed
from snreid.inference.embedder import Embedder, require_finite
from snreid.models.snr import SNR
from snreid.records import Sample, Split
from snreid.system.progress import counting
from snreid.tensors import Maps

_BATCH = 32
_SHOWN_BAD = 20
_WORTH_WORKERS = 1000
"""Below so many images starting processes takes longer than decoding."""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How images are read; no number depends on it."""

    console: Console
    workers: int = 0
    memory_gb: float = 4.0
    skip_bad: bool = False
    """Go on without images that cannot be read; they are named in the notes."""


def look(
    embedder: Embedder,
    shown: Sequence[tuple[str, Sample]],
    chosen: Sequence[Chosen],
    reading: Reading,
    *,
    title: str,
    run: str,
    scheme: str,
    trained_on: str,
) -> Lens:
    """The lens on a trained model.

    ``shown``: images whose maps are shown, each with its title. ``chosen``: images of data sets for what takes many of them: style
    distances, gates by camera, neighbours, the t-SNE picture; may be empty. The labels of these images order and colour what is
    shown; nothing is chosen by them. Raises ``DataError`` for images that cannot be read, ``DivergenceError`` for a model that
    does not embed them as finite numbers.
    """
    notes: list[str] = []
    store = _read(Split(tuple(sample for _, sample in shown)), "the images to be shown", embedder, reading, notes)
    titles = [shown[place][0] for place in store.good]
    store = store.only(store.good)
    images, gates, seen = _images(embedder, store, titles)
    notes += _module_notes(embedder, seen)
    lens = Lens(
        title=title, run=run, scheme=scheme, trained_on=trained_on, images=images, gates=gates, gate_words=_each(seen)
    )
    if chosen:
        lens = _with_data(lens, embedder, chosen, reading, notes)
    else:
        notes.append(
            "Style distances, gates by camera and the t-SNE picture take data sets with cameras; none was named (--data)."
        )
    return replace(lens, notes=tuple(notes))


def activation(maps: Maps) -> NDArray[np.float32]:
    """A(X) = mean over channels of |X|: (B, C, H, W) to (B, H, W).

    The paper's figure of such maps summarizes over channels too. Absolute values, because R, R- and R+ have both signs and a plain
    sum would let a strong response of one channel hide that of another.
    """
    return np.asarray(maps.abs().mean(1).numpy(), dtype=np.float32)


def named_maps(seen: StageLook) -> dict[str, Maps]:
    """The maps of a stage by the names of the page: F; with a normalization F~; with an SNR module all six."""
    found = {"F": seen.maps}
    if seen.normalized is not None:
        found["F~"] = seen.normalized
    if seen.parts is not None:
        parts = seen.parts
        found |= {"R+": parts.relevant, "R-": parts.irrelevant, "F~+": parts.restored, "F~-": parts.contaminated}
    return found


def histogram(gate: Tensor) -> NDArray[np.float64]:
    """(B, ...) values from 0 to 1 to (B, ``BINS``): the share of each image's values in each bin; 1 belongs to the last."""
    places = (gate.flatten(1).double() * BINS).floor().clamp(0, BINS - 1).long()
    counts = torch.zeros(len(places), BINS, dtype=torch.float64).scatter_add_(
        1, places, torch.ones_like(places, dtype=torch.float64)
    )
    return np.asarray((counts / places.shape[1]).numpy())


def _read(split: Split, what: str, embedder: Embedder, reading: Reading, notes: list[str]) -> PixelStore:
    """The opened store of the images. Raises ``DataError`` naming the bad ones, or notes them."""
    workers = reading.workers if len(split) >= _WORTH_WORKERS else 0
    size = embedder.input.height, embedder.input.width
    store = PixelStore(split, *size, workers=workers, memory_gb=reading.memory_gb)
    with counting(reading.console, f"reading {what}") as progress:
        bad = store.open(progress)
    if bad and (not reading.skip_bad or len(bad) == len(split)):
        raise DataError(
            "Every image must be readable",
            found=f"{len(bad)} of {len(split)} of {what} are not: {listed(bad, _SHOWN_BAD)}",
            fix="restore these files or leave them out"
            + ("" if reading.skip_bad else ", or go on without them: --skip-bad"),
        )
    if bad:
        notes.append(
            f"{len(bad)} of {len(split)} of {what} could not be read and are left out: {listed(bad, _SHOWN_BAD)}."
        )
    return store


def _blocks(count: int) -> list[NDArray[np.int64]]:
    return [np.arange(start, min(start + _BATCH, count)) for start in range(0, count, _BATCH)]


def _images(
    embedder: Embedder, store: PixelStore, titles: Sequence[str]
) -> tuple[tuple[SeenImage, ...], tuple[GateValues, ...], tuple[StageLook, ...]]:
    """The maps and gates of each image, and what was seen of the last batch (for the words about the model)."""
    images: list[SeenImage] = []
    gates: list[GateValues] = []
    blocks = _blocks(len(store.split))
    for places, pixels in zip(blocks, store.batches(blocks), strict=True):
        seen, embedding = dissect(embedder, pixels)
        require_finite(np.asarray(embedding.numpy()), where="the images that are shown")
        modules = [one for one in seen if one.normalized is not None] or list(seen)
        maps = {one.stage: {name: activation(value) for name, value in named_maps(one).items()} for one in modules}
        back = {one.stage: _given_back(one) for one in modules}
        for row, place in enumerate(places.tolist()):
            stages = tuple(
                StageMaps(
                    stage=stage,
                    maps={name: value[row] for name, value in found.items()},
                    given_back=None if (share := back[stage]) is None else float(share[row]),
                )
                for stage, found in maps.items()
            )
            images.append(SeenImage(sample=store.split.samples[place], title=titles[place], stages=stages))
        gates += _image_gates(seen, [titles[place] for place in places])
    return tuple(images), tuple(gates), seen


def _given_back(seen: StageLook) -> NDArray[np.float64] | None:
    """(B,) mean of A(R+) over mean of A(R); 0 where normalization removed nothing."""
    if seen.parts is None:
        return None
    removed = seen.parts.residual.abs().double().mean((1, 2, 3))
    relevant = seen.parts.relevant.abs().double().mean((1, 2, 3))
    return np.asarray(torch.where(removed > 0, relevant / removed.clamp(min=1e-30), 0.0).numpy())


def _image_gates(seen: Sequence[StageLook], titles: Sequence[str]) -> list[GateValues]:
    found = []
    for one in seen:
        if one.parts is not None and (gate := one.parts.gate) is not None:
            means = gate.flatten(1).double().mean(1).tolist()
            for title, mean, shares in zip(titles, means, histogram(gate), strict=True):
                found.append(GateValues(stage=one.stage, label=title, camera=False, mean=mean, histogram=shares))
    return found


def _each(seen: Sequence[StageLook]) -> str:
    """What a value of the gate belongs to, in words."""
    gate = next((one.parts.gate for one in seen if one.parts is not None and one.parts.gate is not None), None)
    if gate is None:
        return ""
    channels, positions = gate.shape[1] > 1, gate.shape[2] * gate.shape[3] > 1
    return {(True, False): "each channel", (False, True): "each position"}.get(
        (channels, positions), "each channel and position"
    )


def _module_notes(embedder: Embedder, seen: Sequence[StageLook]) -> list[str]:
    notes = []
    if all(one.normalized is None and not one.other for one in seen):
        notes.append(
            "This model has no module after any stage: there is F alone, and nothing was removed or given back."
        )
    elif all(one.parts is None and not one.other for one in seen):
        notes.append(
            "This model normalizes and gives nothing back: there are F and F~ (what it passes on), no R+ and R-, no gate."
        )
    kinds = {module.gate_kind for module in embedder.model.after.values() if isinstance(module, SNR)}
    if "conv" in kinds:
        notes.append(
            "R+ and R- come from two branches of convolution here: there is no gate, and they do not add up to R."
        )
    if "two_gates" in kinds:
        notes.append("R- has a gate of its own here (the one shown is that of R+), so R+ and R- do not add up to R.")
    for one in seen:
        if one.other:
            does = "passes F on unchanged" if torch.equal(one.passed, one.maps) else "the lens cannot open"
            notes.append(f"Stage {one.stage} is followed by {one.other}, which {does}: only F is shown.")
    return notes


@dataclass
class _Gathered:
    """What is kept of the images of data sets, image by image."""

    moments: dict[tuple[int, str], list[tuple[NDArray[np.float64], NDArray[np.float64]]]] = field(default_factory=dict)
    gates: dict[int, list[NDArray[np.float64]]] = field(default_factory=dict)
    """(B, 1 + BINS): the mean, then the histogram."""
    embeddings: list[NDArray[np.float32]] = field(default_factory=list)

    def add(self, seen: Sequence[StageLook], embedding: NDArray[np.float32]) -> None:
        """One batch."""
        self.embeddings.append(embedding)
        for one in seen:
            for name, maps in named_maps(one).items():
                if name in ("F", "F~", "F~+"):
                    variance, mean = torch.var_mean(maps.double(), (2, 3), correction=0)
                    self.moments.setdefault((one.stage, name), []).append((mean.numpy(), variance.numpy()))
            if one.parts is not None and (gate := one.parts.gate) is not None:
                means = gate.flatten(1).double().mean(1, keepdim=True).numpy()
                self.gates.setdefault(one.stage, []).append(np.concatenate([means, histogram(gate)], 1))

    def statistics(self) -> dict[int, dict[str, ChannelStatistics]]:
        """Of every stage and map, all images."""
        found: dict[int, dict[str, ChannelStatistics]] = {}
        for (stage, name), parts in sorted(self.moments.items(), key=lambda item: item[0][0]):
            joined = ChannelStatistics(*(np.concatenate([part[side] for part in parts]) for side in (0, 1)))
            found.setdefault(stage, {})[name] = joined
        return found


def _with_data(lens: Lens, embedder: Embedder, chosen: Sequence[Chosen], reading: Reading, notes: list[str]) -> Lens:
    """The lens with all that takes data sets."""
    gathered, used = _Gathered(), []
    for data in chosen:
        store = _read(data.split, f"the images of {data.name}", embedder, reading, notes)
        store = store.only(store.good)
        used.append(replace(data, split=store.split))
        blocks = _blocks(len(store.split))
        with counting(reading.console, f"looking at {data.name}") as progress:
            for places, pixels in zip(blocks, store.batches(blocks), strict=True):
                seen, embedding = dissect(embedder, pixels)
                gathered.add(seen, np.asarray(embedding.numpy(), dtype=np.float32))
                if progress is not None:
                    progress(int(places[-1]) + 1, len(store.split))
    embeddings = np.concatenate(gathered.embeddings)
    require_finite(embeddings, where="images of the data sets")
    sets = group(used)
    notes += _data_notes(used, sets)
    statistics = gathered.statistics()
    everyone = Split(tuple(sample for data in used for sample in data.split.samples))
    names = tuple(data.name for data in used for _ in data.split.samples)
    with counting(reading.console, "t-SNE"):
        points = plane(unit(embeddings))
    if points is None:
        notes.append("No t-SNE picture: it takes five images or more whose embeddings differ.")
    cloud = None if points is None else Cloud(points=points, domains=names, cameras=tuple(everyone.cameras.tolist()))
    return replace(
        lens,
        gates=(*lens.gates, *_camera_gates(gathered.gates, sets)),
        data=_counted(used),
        sets=sets.names,
        styles=tuple(_style(stage, found, sets) for stage, found in statistics.items()),
        mixed=_mixed(statistics, embeddings, everyone, names),
        cloud=cloud,
    )


def _style(stage: int, statistics: Mapping[str, ChannelStatistics], sets: Sets) -> StyleTable:
    matrices = {name: style_matrix(found, sets.images) for name, found in statistics.items()}
    return StyleTable(
        stage=stage,
        matrices=matrices,
        summaries={name: summarize(matrix, sets.domains) for name, matrix in matrices.items()},
    )


def _camera_gates(gates: Mapping[int, Sequence[NDArray[np.float64]]], sets: Sets) -> list[GateValues]:
    found = []
    for stage, parts in gates.items():
        every = np.concatenate(list(parts))
        for name, images in zip(sets.names, sets.images, strict=True):
            mean, shares = float(every[images, 0].mean()), every[images, 1:].mean(0)
            found.append(GateValues(stage=stage, label=name, camera=True, mean=mean, histogram=shares))
    return found


def _mixed(
    statistics: Mapping[int, Mapping[str, ChannelStatistics]],
    embeddings: NDArray[np.float32],
    everyone: Split,
    names: Sequence[str],
) -> tuple[Mixed, ...]:
    """Neighbours by the style of each stage before and after its module, and by the embedding.

    F~ is left out: normalization gives every image the same style, so that neighbours in it are rounding.
    """
    order = {name: number for number, name in enumerate(dict.fromkeys(names))}
    domains = np.array([order[name] for name in names], dtype=np.int64)
    # Every distractor is a person of its own.
    keys = [
        (name, one.person) if one.person > 0 else (name, -place)
        for place, (name, one) in enumerate(zip(names, everyone.samples, strict=True))
    ]
    numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    persons = np.array([numbers[key] for key in keys], dtype=np.int64)
    known = everyone.cameras >= 0
    # Images without a camera are in a group of their own and never asked.
    among = np.where(known, domains, len(order) + np.arange(len(domains)))
    described = [
        (f"stage {stage}, {name}", standardized(found[name].vectors))
        for stage, found in statistics.items()
        for name in ("F", "F~+")
        if name in found
    ]
    rows = []
    for what, vectors in (*described, ("embedding", unit(embeddings))):
        domain = _share(mixing(vectors, domains, persons))
        camera = _share(mixing(vectors, everyone.cameras, persons, among))
        if domain is not None or camera is not None:
            rows.append(Mixed(what=what, domain=domain, camera=camera))
    return tuple(rows)


def _share(found: Mixing | None) -> NeighbourShare | None:
    return None if found is None else NeighbourShare(found.share, found.chance)


def _counted(used: Sequence[Chosen]) -> str:
    """Such as ``noon (6 cameras), shop (cameras not known)``."""
    counts = [(data.name, len({one.camera for one in data.split.samples if one.camera >= 0})) for data in used]
    words = {0: "cameras not known", 1: "1 camera"}
    return ", ".join(f"{name} ({words.get(count, f'{count} cameras')})" for name, count in counts)


def _data_notes(used: Sequence[Chosen], sets: Sets) -> list[str]:
    notes = [
        f"{data.name}: {len(data.split)} of its {data.available} {data.part} images, evenly over its cameras and the order of its files."
        for data in used
    ]
    notes += [remark for data in used for remark in data.remarks]
    if len(sets.names) < 2:
        notes.append(
            "All images are of one camera, or their cameras are not known: there is no distance between cameras to show."
        )
    elif not sets.by_camera:
        notes.append(
            "Each data set counts as one set here: it has no cameras, or all data sets together have too many to be told apart."
        )
    return notes
