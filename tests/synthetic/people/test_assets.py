"""The body model: what it holds, how it is kept, and what is said where it cannot be made."""

import importlib.util
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from snreid.errors import ExperimentError
from snreid.synthetic.people import assets
from snreid.synthetic.people.assets import (
    COLUMNS,
    BodyModel,
    cache_folder,
    make_model,
    read_model,
    require_people,
    write_model,
)


def test_everything_refers_to_something(model: BodyModel) -> None:
    count = len(model.template)
    for part in (model.body, model.shell, model.skirt, model.hair):
        assert part.min() >= 0 and part.max() < count
    assert (model.parents < np.arange(len(model.bones))).all() and model.parents[0] == -1
    np.testing.assert_allclose(model.weights.sum(1), 1, atol=1e-5)
    assert model.mask.shape == (len(model.shapes), len(COLUMNS))


def test_there_are_no_children(model: BodyModel) -> None:
    assert not {"baby", "child", "newborn"} & set(COLUMNS)
    ages = model.mask[:, [COLUMNS.index("young"), COLUMNS.index("old")]]
    assert (ages.sum(1) == 1).all(), "every shape is one of adults"


def test_it_is_read_back_as_it_was_written(model: BodyModel, tmp_path: Path) -> None:
    write_model(model, tmp_path / "kept")
    back = read_model(tmp_path / "kept")
    assert back is not None
    for field in fields(BodyModel):
        np.testing.assert_array_equal(getattr(back, field.name), getattr(model, field.name))
    assert [path.name for path in tmp_path.iterdir()] == ["kept"], "no draft stays behind"


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "absent"])
def test_a_damaged_file_is_no_model(model: BodyModel, tmp_path: Path, damage: str) -> None:
    file = tmp_path / "kept"
    if damage != "absent":
        write_model(model, file)
        content = bytearray(file.read_bytes())
        if damage == "flipped":
            content[len(content) // 2] ^= 1
        file.write_bytes({"cut": content[: len(content) // 2], "flipped": content, "empty": b""}[damage])
    assert read_model(file) is None


def test_a_half_written_cache_is_made_again(model: BodyModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SNREID_CACHE", str(tmp_path))
    file = cache_folder() / f"people-{assets.VERSION}.assets"
    file.write_bytes(b"half")
    monkeypatch.setattr(assets, "make_model", lambda *_: model)
    assert assets.body_model() is model
    assert read_model(file) is not None
    assets._loaded.pop(tmp_path)


def test_missing_data_are_said_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ExperimentError, match=r"data/mpfb2 holds.*Fix: pip install"):
        make_model(tmp_path)


def test_a_missing_extra_is_said_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ExperimentError, match=r"extra `people`.*numba is not installed.*snreid\[people\]"):
        require_people()


def test_the_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SNREID_CACHE", "/a")
    assert cache_folder() == Path("/a")
    monkeypatch.delenv("SNREID_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/b")
    assert cache_folder() == Path("/b/snreid")
