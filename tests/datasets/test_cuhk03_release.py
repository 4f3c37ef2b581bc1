"""``cuhk-03.mat``: a small file of the released form, read on demand, and extracted when asked."""

import contextlib
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from snreid.datasets import CUHK03
from snreid.datasets.cuhk03_release import ReleaseImage, extract, published_name, release_images
from snreid.errors import DataError
from snreid.images.reading import read_image

REASON = "the released cuhk-03.mat is HDF5: pip install 'snreid[cuhk03]'"
Key = tuple[int, int, int]


@pytest.fixture
def pictures(rng: np.random.Generator) -> dict[Key, NDArray[np.uint8]]:
    """Images by (pair, person, index), of odd sizes; the persons are those of the protocol in ``test_cuhk03``."""
    keys = [(p, k, i) for p, k in ((1, 1), (1, 2), (2, 1), (5, 3)) for i in (1, 2, 6, 7)]
    return {key: rng.integers(0, 256, (9 + key[1], 5 + key[2], 3)).astype(np.uint8) for key in keys}


@pytest.fixture
def release(tmp_path: Path, pictures: dict[Key, NDArray[np.uint8]]) -> Path:
    """A file as MATLAB 7.3 writes it: cells are references, axes are reversed, an empty cell is two zeros."""
    h5py = pytest.importorskip("h5py", reason=REASON)
    path = tmp_path / "cuhk-03.mat"
    with h5py.File(path, "w", userblock_size=512) as file:
        store = file.create_group("#refs#")
        empty = store.create_dataset("empty", data=np.zeros(2, np.uint64))
        for field, shift in (("detected", 0), ("labeled", 1)):
            pairs = []
            for pair in range(1, 6):
                persons = max([k for p, k, _ in pictures if p == pair], default=1)
                cells = np.empty((10, persons), dtype=h5py.ref_dtype)
                for index in range(1, 11):
                    for person in range(1, persons + 1):
                        picture = pictures.get((pair, person, index))
                        stored = empty
                        if picture is not None:
                            name = f"{field}{pair}_{person}_{index}"
                            stored = store.create_dataset(name, data=(picture + shift).transpose(2, 1, 0))
                        cells[index - 1, person - 1] = stored.ref
                pairs.append(store.create_dataset(f"{field}{pair}", data=cells, dtype=h5py.ref_dtype).ref)
            file.create_dataset(field, data=np.array([pairs], dtype=h5py.ref_dtype), dtype=h5py.ref_dtype)
    return path


def test_every_image_comes_back_pixel_for_pixel(release: Path, pictures: dict[Key, NDArray[np.uint8]]) -> None:
    assert release_images(release, "detected") == set(pictures)
    stamps: set[str] = set()
    for key, picture in pictures.items():
        assert np.array_equal(ReleaseImage(str(release), "detected", *key).read(), picture)
        assert np.array_equal(ReleaseImage(str(release), "labelled", *key).read(), picture + 1)
        stamps |= {ReleaseImage(str(release), boxes, *key).stamp() for boxes in ("detected", "labelled")}
    assert len(stamps) == 2 * len(pictures), "equal stamps, equal pixels"


def test_the_data_set_is_read_from_it_without_writing_anything(
    release: Path, pictures: dict[Key, NDArray[np.uint8]]
) -> None:
    from scipy.io import savemat

    names = [published_name(*key) for key in pictures]
    cells = np.empty((len(names), 1), dtype=object)
    cells[:, 0] = names
    content = {
        "filelist": cells,
        "labels": np.repeat([1, 2, 3, 4], 4),
        "camId": np.tile([1, 1, 2, 2], 4),
        "train_idx": np.arange(5, 9),
        "query_idx": np.array([1, 3]),
        "gallery_idx": np.array([2, 4]),
    }
    root = release.parent
    savemat(root / "cuhk03_new_protocol_config_detected.mat", content)
    before = sorted(root.iterdir())
    data = CUHK03().read(root)
    keys = list(pictures)
    for split, chosen in ((data.train, (5, 6, 7, 8)), (data.query, (1, 3)), (data.gallery, (2, 4))):
        for sample, at in zip(split.samples, chosen, strict=True):
            assert sample.image.name.endswith(names[at - 1])
            assert np.array_equal(sample.image.read(), pictures[keys[at - 1]])
    assert sorted(root.iterdir()) == before
    extract(release, root / "images_detected")
    assert CUHK03().read(root).train.samples[0].image.name == str(root / "images_detected" / names[4])


def test_extraction_writes_the_published_names(
    release: Path, tmp_path: Path, pictures: dict[Key, NDArray[np.uint8]]
) -> None:
    done: list[int] = []
    assert extract(release, tmp_path / "out", boxes="labelled", progress=done.append) == len(pictures) == sum(done)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(
        published_name(*key) for key in pictures
    )
    for key, picture in pictures.items():
        assert np.array_equal(read_image(tmp_path / "out" / published_name(*key)), picture + 1)


def test_an_image_crosses_process_borders_and_an_empty_cell_is_refused(release: Path) -> None:
    image = ReleaseImage(str(release), "detected", 1, 1, 1)
    assert pickle.loads(pickle.dumps(image)) == image
    for key in ((1, 1, 3), (1, 99, 1), (6, 1, 1)):
        missing = ReleaseImage(str(release), "detected", *key)
        with pytest.raises(DataError) as caught:
            missing.read()
        assert missing.name in caught.value.found


def test_another_or_a_damaged_file_is_a_data_error(release: Path, rng: np.random.Generator) -> None:
    whole = release.read_bytes()
    for number in range(20):
        broken = bytearray(whole)
        for at in rng.integers(0, len(whole), 200):
            broken[at] = rng.integers(256)
        path = release.with_name(f"broken{number}.mat")
        path.write_bytes(broken)
        with contextlib.suppress(DataError):  # whatever HDF5 meets; anything else fails the test
            for key in release_images(path, "detected"):
                ReleaseImage(str(path), "detected", *key).read()
    plain = release.with_name("plain.mat")
    plain.write_bytes(b"MATLAB 5.0 MAT-file")
    with pytest.raises(DataError, match=r"MATLAB 7\.3"):
        release_images(plain, "detected")


def test_without_h5py_the_message_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "h5py", None)
    (tmp_path / "cuhk-03.mat").touch()
    with pytest.raises(DataError, match=r"snreid\[cuhk03\]"):
        release_images(tmp_path / "cuhk-03.mat", "detected")


def test_published_names_put_the_first_five_images_on_the_first_camera() -> None:
    assert [published_name(2, 31, index) for index in (1, 5, 6, 10)] == [
        "2_031_1_01.png",
        "2_031_1_05.png",
        "2_031_2_06.png",
        "2_031_2_10.png",
    ]
