"""The lens as a whole: its numbers are those of the model's own maps, whatever the scheme, the cameras and the state of the files."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from snreid.analysis.lens.capture import dissect
from snreid.analysis.lens.choose import Chosen, choose
from snreid.analysis.lens.look import activation, histogram, look
from snreid.errors import DataError, DivergenceError
from snreid.figures.lens_records import BINS, Lens
from snreid.images.loading import PixelStore
from snreid.images.reading import FileImage
from snreid.images.transforms import InputFormat
from snreid.inference.embedder import Embedder
from snreid.models import Backbone, ModelConfig, Plain, Scheme, StageInstance, StageSNR
from snreid.records import NO_CAMERA, Sample, Split
from support.tiny import drawn, picture_files, session


def embedder(scheme: Scheme) -> Embedder:
    backbone = Backbone(name="resnet10t", channels=(4, 4, 8, 8))
    return Embedder(ModelConfig(backbone=backbone, scheme=scheme).build(4).eval(), InputFormat(height=32, width=16))


def through(model: Embedder, shown: list[Path], *chosen: Chosen, **changes: Any) -> Lens:
    samples = [(path.name, Sample(FileImage(str(path)), 1, NO_CAMERA)) for path in shown]
    return look(model, samples, chosen, session(**changes))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return picture_files(tmp_path_factory.mktemp("look"), 3)


@pytest.fixture(scope="module")
def noon() -> Chosen:
    return choose(drawn("noon").read(Path()), 12)


@pytest.fixture(scope="module")
def night() -> Chosen:
    return choose(drawn("night").read(Path()), 12)


def pixels_of(model: Embedder, split: Split) -> torch.Tensor:
    store = PixelStore(split, model.input.height, model.input.width)
    store.open()
    (batch,) = store.batches([np.arange(len(split))])
    return batch


def test_an_activation_map_is_the_mean_of_absolute_values() -> None:
    maps = torch.tensor([[[[1.0, -2.0]], [[-3.0, 0.0]]]])
    assert activation(maps).tolist() == [[[2.0, 1.0]]]


def test_a_histogram_counts_every_value_once() -> None:
    gate = torch.tensor([[0.0, 0.049, 0.05, 1.0], [0.5, 0.5, 0.5, 0.5]])
    found = histogram(gate)
    assert found.shape == (2, BINS)
    assert found[0, 0] == 0.5 and found[0, 1] == 0.25 and found[0, -1] == 0.25
    assert found[1, 10] == 1 and np.allclose(found.sum(1), 1)


def test_maps_and_gates_of_an_image_are_those_of_the_model(files: list[Path]) -> None:
    model = embedder(StageSNR(stages=(1, 2)))
    lens = through(model, files)
    batch = pixels_of(model, Split(tuple(Sample(FileImage(str(path)), 1, NO_CAMERA) for path in files)))
    looks = {one.stage: one for one in dissect(model, batch)[0]}
    assert [image.title for image in lens.images] == ["000.png", "001.png", "002.png"]
    for row, image in enumerate(lens.images):
        assert [one.stage for one in image.stages] == [1, 2]
        for one in image.stages:
            parts = looks[one.stage].parts
            assert parts is not None and parts.gate is not None
            slow = {
                "F": parts.maps,
                "F~": parts.normalized,
                "R+": parts.relevant,
                "R-": parts.irrelevant,
                "F~+": parts.restored,
                "F~-": parts.contaminated,
            }
            assert list(one.maps) == list(slow)
            for name, maps in slow.items():
                np.testing.assert_allclose(one.maps[name], maps[row].abs().sum(0) / maps.shape[1], rtol=1e-5, atol=1e-6)
            back = parts.relevant[row].abs().sum() / parts.residual[row].abs().sum()
            assert one.given_back == pytest.approx(float(back), rel=1e-5)
            (gate,) = (g for g in lens.gates if (g.label, g.stage) == (image.title, one.stage))
            assert gate.mean == pytest.approx(float(parts.gate[row].mean()), rel=1e-5) and not gate.camera
    assert lens.gate_words == "each channel" and lens.cloud is None
    assert "none was named (--data)" in lens.notes[-1]


def test_styles_gates_and_neighbours_of_data_sets(files: list[Path], noon: Chosen, night: Chosen) -> None:
    model = embedder(StageSNR(stages=(1, 2)))
    lens = through(model, files[:1], noon, night)
    assert lens.data == "noon (6 cameras), night (5 cameras)" and len(lens.sets) == 11
    assert [list(table.matrices) for table in lens.styles] == [["F", "F~", "F~+"]] * 2 + [["F"]] * 2
    looks, embedding = dissect(model, pixels_of(model, Split((*noon.split.samples, *night.split.samples))))
    parts = looks[1].parts
    assert parts is not None and parts.gate is not None
    cameras = np.concatenate([noon.split.cameras, night.split.cameras + 100])
    sets = list(dict.fromkeys(cameras.tolist()))
    for place, camera in enumerate(sets):
        mine = torch.from_numpy(cameras == camera)
        (gate,) = (g for g in lens.gates if g.camera and g.label == lens.sets[place] and g.stage == 2)
        assert gate.mean == pytest.approx(float(parts.gate[mine].mean()), rel=1e-5)
    matrix = lens.styles[1].matrices["F~+"]
    maps = parts.restored.double().numpy()
    first, last = maps[cameras == sets[0]], maps[cameras == sets[-1]]
    slow = np.mean(
        [
            ((a.mean() - b.mean()) ** 2 + (a.std() - b.std()) ** 2) / ((a.var() + b.var()) / 2)
            for a, b in zip(first.swapaxes(0, 1), last.swapaxes(0, 1), strict=True)
        ]
    )
    assert matrix[0, -1] == pytest.approx(slow, rel=1e-5)
    assert [one.what for one in lens.mixed] == [
        "stage 1, F",
        "stage 1, F~+",
        "stage 2, F",
        "stage 2, F~+",
        "stage 3, F",
        "stage 4, F",
        "embedding",
    ]
    assert all(one.domain is not None and 0.3 < one.domain.chance < 0.6 for one in lens.mixed)
    assert lens.cloud is not None and lens.cloud.points.shape == (24, 2) and len(embedding) == 24
    assert lens.cloud.domains == ("noon",) * 12 + ("night",) * 12
    again = through(model, files[:1], noon, night)
    assert again.cloud is not None and np.array_equal(again.cloud.points, lens.cloud.points)


@pytest.mark.parametrize(
    ("scheme", "maps", "words"),
    [
        (Plain(), ["F"], "nothing was removed"),
        (StageInstance(stages=(1, 2)), ["F", "F~"], "gives nothing back"),
        (StageSNR(gate="conv"), ["F", "F~", "R+", "R-", "F~+", "F~-"], "do not add up to R"),
        (StageSNR(gate="two_gates"), ["F", "F~", "R+", "R-", "F~+", "F~-"], "a gate of its own"),
        (StageSNR(gate="channel_spatial"), ["F", "F~", "R+", "R-", "F~+", "F~-"], "none was named"),
    ],
)
def test_every_scheme_shows_what_it_has_and_says_what_it_has_not(
    scheme: Scheme, maps: list[str], words: str, files: list[Path]
) -> None:
    lens = through(embedder(scheme), files)
    stages = {one.stage for one in lens.images[0].stages}
    assert list(lens.images[0].stages[0].maps) == maps
    assert stages == ({1, 2} if isinstance(scheme, StageInstance) else {1, 2, 3, 4})
    assert any(words in note for note in lens.notes)
    gated = isinstance(scheme, StageSNR) and scheme.gate != "conv"
    assert bool(lens.gates) == gated == bool(lens.gate_words)
    if isinstance(scheme, StageSNR) and scheme.gate == "channel_spatial":
        assert lens.gate_words == "each channel and position"


def test_a_module_of_another_kind_is_named(files: list[Path]) -> None:
    model = embedder(StageSNR(stages=(1, 2)))
    model.model.after["1"], model.model.after["2"] = torch.nn.Identity(), torch.nn.Softplus()
    notes = through(model, files).notes
    assert any("Stage 1 is followed by Identity, which passes F on unchanged" in note for note in notes)
    assert any("Stage 2 is followed by Softplus, which the lens cannot open" in note for note in notes)
    assert not any("no module" in note for note in notes)


def test_one_camera_no_camera_and_one_image(files: list[Path], noon: Chosen) -> None:
    model = embedder(StageSNR(stages=(1,)))
    one = replace(noon, split=Split(noon.split.samples[:2]))
    lens = through(model, files[:1], one)
    assert len(lens.sets) == 1 and any("one camera" in note for note in lens.notes)
    assert lens.cloud is None and any("No t-SNE" in note for note in lens.notes) and lens.mixed == ()
    bare = replace(noon, split=Split(tuple(replace(s, camera=NO_CAMERA) for s in noon.split.samples)))
    other = replace(bare, name="shop")
    lens = through(model, files[:1], bare, other)
    assert lens.sets == ("noon", "shop") and lens.data == "noon (cameras not known), shop (cameras not known)"
    assert lens.styles[0].matrices["F"][0, 1] == pytest.approx(0, abs=1e-9)
    assert math.isnan(lens.styles[0].summaries["F"]["within"])
    assert all(one.camera is None for one in lens.mixed) and any("counts as one set" in note for note in lens.notes)
    single = through(model, files[:1], replace(noon, split=Split(noon.split.samples[:1])))
    assert single.styles[0].matrices["F"].shape == (1, 1) and single.mixed == ()


def test_damaged_images_are_named_and_left_out_only_when_that_was_said(tmp_path: Path, noon: Chosen) -> None:
    model = embedder(StageSNR(stages=(1,)))
    paths = picture_files(tmp_path, 3, damaged=(1,))
    with pytest.raises(DataError, match=r"1 of 3 of the images to be shown are not: .*001.png.*--skip-bad"):
        through(model, paths)
    lens = through(model, paths, skip_bad=True)
    assert [image.title for image in lens.images] == ["000.png", "002.png"]
    assert any("001.png" in note for note in lens.notes)
    with pytest.raises(DataError, match="1 of 1 of the images to be shown"):
        through(model, paths[1:2], skip_bad=True)
    bad = replace(noon, split=Split((Sample(FileImage(str(paths[1])), 1, 1), *noon.split.samples)))
    with pytest.raises(DataError, match="1 of 13 of the images of noon"):
        through(model, paths[:1], bad)
    skipped = through(model, paths[:1], bad, skip_bad=True)
    assert skipped.cloud is not None and len(skipped.cloud.points) == 12


def test_a_model_that_has_diverged_is_told(files: list[Path]) -> None:
    model = embedder(Plain())
    with torch.no_grad():
        model.model.head.neck.weight.fill_(float("nan"))
    with pytest.raises(DivergenceError, match="the images that are shown"):
        through(model, files)
