"""Runs the lens: passes images and data sets through a trained model and builds the record of the page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from snreid.analysis.lens.capture import StageLook, dissect
from snreid.analysis.lens.choose import Chosen, Sets, group
from snreid.analysis.lens.neighbours import mixing, plane, standardized, unit
from snreid.analysis.lens.style import ChannelStatistics, style_matrix, summarize
from snreid.errors import DataError
from snreid.figures.lens_records import (
    BINS,
    Cloud,
    GateValues,
    Lens,
    Mixed,
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
from snreid.training.session import Session

_BATCH = 32
_SHOWN_BAD = 20
_WORTH_WORKERS = 1000
"""Below this number of images, starting processes takes longer than decoding."""


def look(
    embedder: Embedder,
    shown: Sequence[tuple[str, Sample]],
    chosen: Sequence[Chosen],
    session: Session,
) -> Lens:
    """Applies the lens to a trained model; the caller adds what the page says about the run.

    ``shown``: images whose maps are shown, each with its title. ``chosen``: images of data sets for style distances, gates by camera,
    neighbours and the t-SNE plot; may be empty. Their labels order and colour the results but select nothing. Raises ``DataError``
    for unreadable images, ``DivergenceError`` for a model that does not embed them as finite numbers.
    """
    notes: list[str] = []
    store = _read(Split(tuple(sample for _, sample in shown)), "the images to be shown", embedder, session, notes)
    titles = [shown[place][0] for place in store.good]
    store = store.only(store.good)
    images, gates, seen = _images(embedder, store, titles)
    notes += _module_notes(embedder, seen)
    lens = Lens(images=images, gates=gates, gate_words=_each(seen))
    if chosen:
        lens = _with_data(lens, embedder, chosen, session, notes)
    else:
        notes.append(
            "Style distances, gates by camera and the t-SNE picture take data sets with cameras; none was named (--data)."
        )
    return replace(lens, notes=tuple(notes))


def activation(maps: Maps) -> NDArray[np.float32]:
    """Returns A(X) = mean over channels of |X|: (B, C, H, W) to (B, H, W).

    The paper's figure also sums over channels. Absolute values, because R, R- and R+ have both signs, so that in a plain sum one
    channel's strong response could cancel another's.
    """
    return np.asarray(maps.abs().mean(1).numpy(), dtype=np.float32)


def named_maps(seen: StageLook) -> dict[str, Maps]:
    """Returns the maps of a stage by their names on the page: F; with normalization also F~; with an SNR module all six."""
    maps = {"F": seen.maps}
    if seen.normalized is not None:
        maps["F~"] = seen.normalized
    if seen.parts is not None:
        parts = seen.parts
        maps |= {"R+": parts.relevant, "R-": parts.irrelevant, "F~+": parts.restored, "F~-": parts.contaminated}
    return maps


def histogram(gate: Tensor) -> NDArray[np.float64]:
    """Returns the share of each image's values, (B, ...) in [0, 1], per bin: (B, ``BINS``); 1 belongs to the last bin."""
    places = (gate.flatten(1).double() * BINS).floor().clamp(0, BINS - 1).long()
    counts = torch.zeros(len(places), BINS, dtype=torch.float64).scatter_add_(
        1, places, torch.ones_like(places, dtype=torch.float64)
    )
    return np.asarray((counts / places.shape[1]).numpy())


def _read(split: Split, what: str, embedder: Embedder, session: Session, notes: list[str]) -> PixelStore:
    """Opens the images. Raises ``DataError`` naming the unreadable ones, or notes them with ``skip_bad``."""
    workers = session.machine.workers if len(split) >= _WORTH_WORKERS else 0
    size = embedder.input.height, embedder.input.width
    store = PixelStore(split, *size, workers=workers, memory_gb=session.machine.memory_gb)
    with counting(session.console, f"reading {what}") as progress:
        bad = store.open(progress)
    if bad and (not session.machine.skip_bad or len(bad) == len(split)):
        raise DataError(
            "Every image must be readable",
            found=f"{len(bad)} of {len(split)} of {what} are not: {listed(bad, _SHOWN_BAD)}",
            fix="restore these files or leave them out"
            + ("" if session.machine.skip_bad else ", or go on without them: --skip-bad"),
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
    """The maps and gates of each image, and the stages of the last batch (for the notes on the model)."""
    images: list[SeenImage] = []
    gates: list[GateValues] = []
    blocks = _blocks(len(store.split))
    for places, pixels in zip(blocks, store.batches(blocks), strict=True):
        seen, embedding = dissect(embedder, pixels)
        require_finite(np.asarray(embedding.numpy()), where="the images that are shown")
        entries = [entry for entry in seen if entry.normalized is not None] or list(seen)
        maps = {
            entry.stage: {name: activation(value) for name, value in named_maps(entry).items()} for entry in entries
        }
        back = {entry.stage: _given_back(entry) for entry in entries}
        for row, place in enumerate(places.tolist()):
            stages = tuple(
                StageMaps(
                    stage=stage,
                    maps={name: value[row] for name, value in named.items()},
                    given_back=None if (share := back[stage]) is None else float(share[row]),
                )
                for stage, named in maps.items()
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
    values = []
    for entry in seen:
        if entry.parts is not None and (gate := entry.parts.gate) is not None:
            means = gate.flatten(1).double().mean(1).tolist()
            for title, mean, shares in zip(titles, means, histogram(gate), strict=True):
                values.append(GateValues(stage=entry.stage, label=title, camera=False, mean=mean, histogram=shares))
    return values


def _each(seen: Sequence[StageLook]) -> str:
    """Describes what one gate value applies to."""
    gate = next((entry.parts.gate for entry in seen if entry.parts is not None and entry.parts.gate is not None), None)
    if gate is None:
        return ""
    channels, positions = gate.shape[1] > 1, gate.shape[2] * gate.shape[3] > 1
    words = {(True, False): "each channel", (False, True): "each position"}
    return words.get((channels, positions), "each channel and position")


def _module_notes(embedder: Embedder, seen: Sequence[StageLook]) -> list[str]:
    notes = []
    if all(entry.normalized is None and not entry.other for entry in seen):
        notes.append(
            "This model has no module after any stage: there is F alone, and nothing was removed or given back."
        )
    elif all(entry.parts is None and not entry.other for entry in seen):
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
    for entry in seen:
        if entry.other:
            does = "passes F on unchanged" if torch.equal(entry.passed, entry.maps) else "the lens cannot open"
            notes.append(f"Stage {entry.stage} is followed by {entry.other}, which {does}: only F is shown.")
    return notes


@dataclass
class _Gathered:
    """Per-image results of the data sets."""

    moments: dict[tuple[int, str], list[tuple[NDArray[np.float64], NDArray[np.float64]]]] = field(default_factory=dict)
    gates: dict[int, list[NDArray[np.float64]]] = field(default_factory=dict)
    """(B, 1 + BINS): the mean, then the histogram."""
    embeddings: list[NDArray[np.float32]] = field(default_factory=list)

    def add(self, seen: Sequence[StageLook], embedding: NDArray[np.float32]) -> None:
        """Adds one batch."""
        self.embeddings.append(embedding)
        for entry in seen:
            for name, maps in named_maps(entry).items():
                if name in ("F", "F~", "F~+"):
                    variance, mean = torch.var_mean(maps.double(), (2, 3), correction=0)
                    self.moments.setdefault((entry.stage, name), []).append((mean.numpy(), variance.numpy()))
            if entry.parts is not None and (gate := entry.parts.gate) is not None:
                means = gate.flatten(1).double().mean(1, keepdim=True).numpy()
                self.gates.setdefault(entry.stage, []).append(np.concatenate([means, histogram(gate)], 1))

    def statistics(self) -> dict[int, dict[str, ChannelStatistics]]:
        """Returns the statistics of all images by stage and map."""
        statistics: dict[int, dict[str, ChannelStatistics]] = {}
        for (stage, name), parts in sorted(self.moments.items(), key=lambda item: item[0][0]):
            joined = ChannelStatistics(*(np.concatenate([part[side] for part in parts]) for side in (0, 1)))
            statistics.setdefault(stage, {})[name] = joined
        return statistics


def _with_data(lens: Lens, embedder: Embedder, chosen: Sequence[Chosen], session: Session, notes: list[str]) -> Lens:
    """Returns the lens with the parts that need data sets."""
    gathered, used = _Gathered(), []
    for data in chosen:
        store = _read(data.split, f"the images of {data.name}", embedder, session, notes)
        store = store.only(store.good)
        used.append(replace(data, split=store.split))
        blocks = _blocks(len(store.split))
        with counting(session.console, f"looking at {data.name}") as progress:
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
    with counting(session.console, "t-SNE"):
        points = plane(unit(embeddings))
    if points is None:
        notes.append("No t-SNE picture: it takes five images or more whose embeddings differ.")
    cloud = None if points is None else Cloud(points=points, domains=names, cameras=tuple(everyone.cameras.tolist()))
    return replace(
        lens,
        gates=(*lens.gates, *_camera_gates(gathered.gates, sets)),
        data=_counted(used),
        sets=sets.names,
        styles=tuple(_style(stage, by_map, sets) for stage, by_map in statistics.items()),
        mixed=_mixed(statistics, embeddings, everyone, names),
        cloud=cloud,
    )


def _style(stage: int, statistics: Mapping[str, ChannelStatistics], sets: Sets) -> StyleTable:
    matrices = {name: style_matrix(moments, sets.images) for name, moments in statistics.items()}
    return StyleTable(
        stage=stage,
        matrices=matrices,
        summaries={name: summarize(matrix, sets.domains) for name, matrix in matrices.items()},
    )


def _camera_gates(gates: Mapping[int, Sequence[NDArray[np.float64]]], sets: Sets) -> list[GateValues]:
    values = []
    for stage, parts in gates.items():
        every = np.concatenate(list(parts))
        for name, images in zip(sets.names, sets.images, strict=True):
            mean, shares = float(every[images, 0].mean()), every[images, 1:].mean(0)
            values.append(GateValues(stage=stage, label=name, camera=True, mean=mean, histogram=shares))
    return values


def _mixed(
    statistics: Mapping[int, Mapping[str, ChannelStatistics]],
    embeddings: NDArray[np.float32],
    everyone: Split,
    names: Sequence[str],
) -> tuple[Mixed, ...]:
    """Neighbours by the style of each stage before and after its module, and by the embedding.

    F~ is left out: normalization gives every image the same style, so its neighbours would be rounding noise.
    """
    domains = _numbered(names)
    # Every distractor counts as a different person.
    keys = [
        (name, sample.person) if sample.person > 0 else (name, -place)
        for place, (name, sample) in enumerate(zip(names, everyone.samples, strict=True))
    ]
    persons = _numbered(keys)
    # Each image without a camera forms its own group, so it has no neighbours.
    among = np.where(everyone.cameras >= 0, domains, len(domains) + np.arange(len(domains)))
    described = [
        (f"stage {stage}, {name}", standardized(by_map[name].vectors))
        for stage, by_map in statistics.items()
        for name in ("F", "F~+")
        if name in by_map
    ]
    rows = []
    for what, vectors in (*described, ("embedding", unit(embeddings))):
        domain = mixing(vectors, domains, persons)
        camera = mixing(vectors, everyone.cameras, persons, among)
        if domain is not None or camera is not None:
            rows.append(Mixed(what=what, domain=domain, camera=camera))
    return tuple(rows)


def _numbered(keys: Sequence[object]) -> NDArray[np.int64]:
    """The place of each key among the different ones."""
    numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    return np.array([numbers[key] for key in keys], dtype=np.int64)


def _counted(used: Sequence[Chosen]) -> str:
    """For example ``noon (6 cameras), shop (cameras not known)``."""
    counts = [(data.name, len({sample.camera for sample in data.split.samples if sample.camera >= 0})) for data in used]
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
