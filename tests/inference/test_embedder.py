"""Images to embeddings: one by one, in batches, over processes, from files."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from snreid.errors import CheckpointError, DataError, DivergenceError, ExperimentError
from snreid.images.loading import PixelStore
from snreid.images.reading import BadImage, read_image, resize
from snreid.inference.embedder import Embedder, Fastest, extract, features, require_finite, require_working
from snreid.inference.folding import FusedConv
from support.tiny import ALONE, drawn, experiment, picture_files
from support.two_processes import answers_of_two


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    torch.manual_seed(0)
    chosen = experiment("snr")
    return Embedder(chosen.model.build(5), chosen.input)


@pytest.fixture(scope="module")
def store(embedder: Embedder) -> PixelStore:
    opened = PixelStore(drawn().read(Path()).gallery, embedder.input.height, embedder.input.width)
    opened.open()
    return opened


def test_features_are_those_of_each_image_alone(embedder: Embedder, store: PixelStore) -> None:
    found = features(embedder, store, batch=3)
    alone = [embedder(pixels)[0] for pixels in store.batches([np.array([i]) for i in range(len(store.split))])]
    np.testing.assert_allclose(found.embeddings, np.stack(alone), atol=1e-5)
    assert found.embeddings.dtype == np.float32
    assert found.persons.tolist() == store.split.persons.tolist()
    assert found.cameras.tolist() == store.split.cameras.tolist()
    assert found.names == tuple(s.image.name for s in store.split.samples)


def test_progress_is_told(embedder: Embedder, store: PixelStore) -> None:
    told: list[tuple[int, int]] = []
    features(embedder, store, batch=3, progress=lambda done, count: told.append((done, count)))
    assert told[0] == (3, len(store.split)) and told[-1] == (len(store.split), len(store.split))


class Alone:
    """A process that hears of nobody else: its part is all it gathers."""

    def __init__(self, rank: int, world: int) -> None:
        self.rank, self.world = rank, world

    def gather_arrays(self, mine: np.ndarray) -> list[np.ndarray]:
        return [mine]


@pytest.mark.parametrize("world", [2, 3, 50])
def test_the_parts_of_all_processes_are_the_whole_in_order(embedder: Embedder, store: PixelStore, world: int) -> None:
    parts: list[Any] = []
    for rank in range(world):
        first, last = rank * len(store.split) // world, (rank + 1) * len(store.split) // world
        if last > first:
            parts.append(features(embedder, store, batch=4, group=Alone(rank, world)).embeddings)  # type: ignore[arg-type]
            assert len(parts[-1]) == last - first
    np.testing.assert_allclose(np.concatenate(parts), features(embedder, store).embeddings, atol=1e-5)


def test_extracting_files_gives_unit_vectors_of_the_same_pixels(embedder: Embedder, tmp_path: Path) -> None:
    paths = picture_files(tmp_path, 3)
    pixels = np.stack([resize(read_image(p), 32, 16).transpose(2, 0, 1) for p in paths])
    raw = embedder(torch.from_numpy(pixels)).astype(np.float64)
    expected = [row / sum(v * v for v in row) ** 0.5 for row in raw]
    np.testing.assert_allclose(embedder.extract([paths[0], str(paths[1]), paths[2]]), expected, atol=1e-5)


def test_files_that_cannot_be_read_are_named(embedder: Embedder, tmp_path: Path) -> None:
    paths = picture_files(tmp_path, 8, damaged=(0, 1, 2, 3, 4, 5, 6))
    with pytest.raises(DataError, match=r"7 of 8 are not: .*000\.png.*004\.png.*and 2 more.*--skip-bad.*leave_out"):
        embedder.extract(paths)
    left_out: dict[int, BadImage] = {}
    found = embedder.extract([paths[7], *paths, paths[7]], leave_out=left_out.update)
    assert list(left_out) == [1, 2, 3, 4, 5, 6, 7] and [one.name for one in left_out.values()] == list(
        map(str, paths[:7])
    )
    np.testing.assert_allclose(found, np.repeat(embedder.extract([paths[7]]), 3, axis=0), atol=1e-6)
    with pytest.raises(DataError, match="7 of 7 are not"):
        embedder.extract(paths[:7], leave_out=left_out.update)
    with pytest.raises(DataError, match="at least one image"):
        embedder.extract([])
    frame = np.zeros((40, 40, 3), np.uint8)
    assert embedder.extract(frame, boxes=[]).shape == (0, found.shape[1])  # a frame without detections


@pytest.mark.parametrize("training", [True, False])
def test_embedding_leaves_the_model_as_it_was(embedder: Embedder, training: bool) -> None:
    embedder.model.train(training)
    before = {name: value.clone() for name, value in embedder.model.state_dict().items()}
    images = torch.randint(0, 256, (4, 3, 32, 16), dtype=torch.uint8)
    assert np.array_equal(embedder(images), embedder(images))
    assert embedder.model.training is training
    assert all(torch.equal(value, before[name]) for name, value in embedder.model.state_dict().items())


def test_bfloat16_gives_float32_embeddings_of_the_same_direction(embedder: Embedder) -> None:
    images = torch.randint(0, 256, (4, 3, 32, 16), dtype=torch.uint8)
    exact = embedder(images)
    rough = Embedder(embedder.model, embedder.input, bf16=True)(images)
    assert rough.dtype == np.float32
    cosine = (exact * rough).sum(1) / np.linalg.norm(exact, axis=1) / np.linalg.norm(rough, axis=1)
    assert cosine.min() > 0.99


def test_looking_whether_a_model_works_changes_nothing(embedder: Embedder) -> None:
    # Not kept in memory: loader workers would be seeded from the state that all share.
    uncached = PixelStore(drawn().read(Path()).gallery, 32, 16, workers=1, memory_gb=0)
    uncached.open()
    before = {name: value.clone() for name, value in embedder.model.state_dict().items()}
    embedder.model.train()
    state = torch.get_rng_state()
    require_working(embedder, uncached, ALONE)
    assert torch.equal(torch.get_rng_state(), state) and embedder.model.training
    assert all(torch.equal(value, before[name]) for name, value in embedder.model.state_dict().items())
    embedder.model.eval()


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e25])
def test_a_model_whose_embeddings_are_no_numbers_does_not_work(store: PixelStore, value: float) -> None:
    for row in (0, -1):

        def embed(images: torch.Tensor, row: int = row) -> np.ndarray:
            vectors = np.ones((len(images), 3), np.float32)
            vectors[row, 1] = value
            return vectors

        with pytest.raises(DivergenceError, match=r"NaN or infinity for training images.*--optimizer\.lr"):
            require_working(embed, store, ALONE)
    require_finite(np.ones((2, 3), np.float32), where="x")
    with pytest.raises(DivergenceError, match="infinity for x"):
        require_finite(np.array([[1, value]], np.float32), where="x")


def test_all_processes_hear_that_the_first_ones_model_does_not_work(tmp_path: Path) -> None:
    code = """
import numpy as np
from pathlib import Path
from snreid.inference.embedder import require_working
from snreid.errors import DivergenceError
from snreid.images.loading import PixelStore
from support.tiny import drawn

def work(group):
    store = PixelStore(drawn().read(Path()).gallery, 32, 16)
    store.open()
    heard = []
    for broken in (0, 1, 2):  # the model of nobody, of the first process, of the second (which counts for nothing)
        value = np.nan if broken == group.rank + 1 else 1
        try:
            require_working(lambda images: np.full((len(images), 2), value, np.float32), store, group)
            heard.append(False)
        except DivergenceError:
            heard.append(True)
    return heard
"""
    assert answers_of_two(code, tmp_path) == [[False, True, False]] * 2


def test_two_processes_extract_what_one_does_and_refuse_what_one_does(tmp_path: Path) -> None:
    paths = list(map(str, picture_files(tmp_path / "photos", 6, damaged=(5,))))
    code = f"""
from snreid.inference.embedder import extract
from snreid.errors import DataError

def work(group):
    def embedded(paths, **rest):
        found = extract(lambda images: images.float().mean((2, 3)).numpy(), (32, 16), paths, batch=2, group=group, **rest)
        return found.tolist()
    left_out = {{}}
    whole = embedded({paths!r}, leave_out=left_out.update)
    one = embedded({paths[:1]!r})
    heard = []
    for paths, rest in (({paths!r}, {{}}), ({paths[5:]!r}, {{"leave_out": left_out.update}})):
        try:
            embedded(paths, **rest)
        except DataError as error:
            heard.append(str(error))
    return [whole, one, [[place, bad.name] for place, bad in left_out.items()], heard]
"""
    first, second = answers_of_two(code, tmp_path)
    assert first == second
    whole, one, left_out, heard = first
    alone = extract(lambda images: images.float().mean((2, 3)).numpy(), (32, 16), paths[:5], batch=2)
    np.testing.assert_allclose(whole, alone, atol=1e-6)
    np.testing.assert_allclose(one, alone[:1], atol=1e-6)
    assert left_out == [[5, paths[5]]]
    assert "1 of 6 are not" in heard[0] and "1 of 1 are not" in heard[1] and all(paths[5] in said for said in heard)


def test_a_folded_model_embeds_alike_and_follows_a_change_of_its_weights(embedder: Embedder) -> None:
    images = torch.randint(0, 256, (40, 3, 32, 16), dtype=torch.uint8)  # more than are embedded at once
    folding = Embedder(embedder.model, embedder.input, fold=True)
    np.testing.assert_allclose(folding(images), embedder(images), atol=1e-5)
    state = {name: value.clone() for name, value in embedder.model.state_dict().items()}
    try:
        with torch.no_grad():
            embedder.model.get_submodule("backbone.bn1").weight.mul_(1.5)
        changed = embedder(images)
        np.testing.assert_allclose(folding(images), changed, atol=1e-5)
    finally:
        embedder.model.load_state_dict(state)
    assert np.abs(changed - folding(images)).max() > 1e-3
    assert folding(images[:0]).shape == (0, 8)


@pytest.mark.parametrize(("fold", "fuse", "layers"), [(True, True, True), (True, False, False), (False, True, False)])
def test_convolutions_are_fused_only_on_request(embedder: Embedder, fold: bool, fuse: bool, layers: bool) -> None:
    images = torch.randint(0, 256, (3, 3, 32, 16), dtype=torch.uint8)
    fast = Embedder(embedder.model, embedder.input, fold=fold, fuse=fuse)
    np.testing.assert_allclose(fast(images), embedder(images), atol=1e-5)
    inner = fast._folded.modules() if fast._folded is not None else ()
    assert any(isinstance(module, FusedConv) for module in inner) == layers


@pytest.mark.parametrize("bf16", [False, True])
@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("fold", [False, True])
def test_a_model_that_was_cast_is_given_images_of_its_type(
    embedder: Embedder, fold: bool, kind: torch.dtype, bf16: bool
) -> None:
    images = torch.randint(0, 256, (4, 3, 32, 16), dtype=torch.uint8)
    cast = Embedder(deepcopy(embedder.model).to(kind), embedder.input, fold=fold, bf16=bf16)
    found, expected = cast(images), embedder(images)
    assert found.dtype == np.float32 and not np.array_equal(found, expected)
    assert np.linalg.norm(found - expected) < 0.03 * np.linalg.norm(expected)


def test_the_fastest_size_is_found_by_measuring_on_the_images_themselves() -> None:
    now = [0.0]
    sizes: list[int] = []

    def embed(images: torch.Tensor) -> np.ndarray:
        """8 costs least per image, but for its first time."""
        first = len(images) not in sizes
        sizes.append(len(images))
        now[0] += len(images) * (5.0 if first else {4: 3.0, 8: 1.0, 16: 2.0}.get(len(images), 9.0))
        return images[:, 0, 0, :1].numpy().astype(np.float32)

    images = torch.arange(200).remainder(256).to(torch.uint8).view(-1, 1, 1, 1).expand(-1, 3, 2, 2)
    fastest = Fastest(embed, (4, 8, 16), clock=lambda: now[0])
    found = np.concatenate([fastest(images[:110]), fastest(images[110:])])
    assert found[:, 0].tolist() == images[:, 0, 0, 0].tolist()
    assert sizes[:9] == [4, 8, 16] * 3 and fastest.chosen == 8
    assert set(sizes[9:]) <= {8, 110 - 84 - 24, 90 % 8}


@pytest.mark.parametrize(
    ("value", "what"),
    [(np.nan, "NaN"), (-np.inf, "NaN or infinity"), (1e30, "NaN"), (0, "only zeros"), (1e-20, "only zeros")],
)
def test_an_embedding_that_is_none_is_refused_by_the_name_of_its_image(value: float, what: str, tmp_path: Path) -> None:
    paths = picture_files(tmp_path, 6, damaged=(1,))
    seen = 0

    def embed(images: torch.Tensor) -> np.ndarray:
        nonlocal seen
        vectors = np.ones((len(images), 3), np.float32)
        vectors[np.isin(np.arange(seen, seen + len(images)), (2, 3))] = value  # of five readable ones
        seen += len(images)
        return vectors

    with pytest.raises(CheckpointError, match=rf"{what}.* for \S*003\.png and 1 of the 4 other images"):
        extract(embed, (32, 16), paths, batch=2, leave_out=lambda bad: None)


def test_a_model_without_a_neck_scale_extracts_nothing(embedder: Embedder) -> None:
    broken = Embedder(deepcopy(embedder.model), embedder.input)
    with torch.no_grad():
        for name, parameter in broken.model.named_parameters():
            if name.startswith("head.neck"):
                parameter.zero_()
    with pytest.raises(CheckpointError, match="only zeros for the image"):
        broken.extract(np.full((32, 16, 3), 7, np.uint8))


@pytest.mark.parametrize(
    "images",
    [
        torch.zeros(2, 3, 64, 32, dtype=torch.uint8),
        torch.zeros(2, 32, 16, 3, dtype=torch.uint8),
        torch.zeros(3, 32, 16, dtype=torch.uint8),
        torch.full((2, 3, 32, 16), 255.0),
        np.zeros((2, 3, 32, 16), np.uint8),
        "a.jpg",
    ],
)
def test_the_network_takes_nothing_but_its_own_input(embedder: Embedder, images: Any) -> None:
    with pytest.raises(DataError, match=r"a uint8 tensor \(B, 3, 32, 16\), RGB.*Fix: give them to .* extract"):
        embedder(images)


@pytest.mark.parametrize("batch", [0, -1, 2.5, "many"])
def test_a_batch_is_a_number_of_images(embedder: Embedder, batch: Any) -> None:
    with pytest.raises(ExperimentError, match=r"at least one image.*batch="):
        embedder.extract(np.zeros((32, 16, 3), np.uint8), batch=batch)


def test_a_device_that_is_not_there_is_refused_in_words(embedder: Embedder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    for device, said in (("cuda", "no CUDA device"), ("gpu", "auto, cpu, cuda or cuda:N"), (0, "auto, cpu")):
        with pytest.raises(ExperimentError, match=said):
            Embedder(embedder.model, embedder.input, device=device)  # type: ignore[arg-type]
    assert Embedder(embedder.model, embedder.input, device="auto").device.type == "cpu"
