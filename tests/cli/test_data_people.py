"""``snreid data make`` and ``snreid data sheet`` with rendered people."""

import importlib.util
from pathlib import Path

import pytest
from PIL import Image

from snreid.cli.data import main
from snreid.cli.names import dataset_named
from snreid.errors import DataError, ExperimentError

_MISSING = [package for package in ("anny", "numba") if importlib.util.find_spec(package) is None]
needs_people = pytest.mark.skipif(
    bool(_MISSING), reason=f"needs the extra people: {', '.join(_MISSING)} is not installed"
)
FEW = "people:persons=2,test_persons=1,cameras=3,sites=2,cameras_per_person=2,images_per_camera=2,height=64"


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """One folder for all tests here; the user's is left alone."""
    monkeypatch.setenv("SNREID_CACHE", str(tmp_path_factory.getbasetemp() / "people-cache"))


@needs_people
def test_what_is_made_reads_as_a_data_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "made"
    assert main(["make", FEW, "--out", str(folder)]) == 0
    assert capsys.readouterr().out == f"{folder}: 8 train, 2 query, 2 gallery images\n"
    made, meant = dataset_named(str(folder)).read(Path()), dataset_named(FEW).read(Path())
    for split in ("train", "query", "gallery"):
        one, two = getattr(made, split), getattr(meant, split)
        assert sorted(zip(one.persons, one.cameras, strict=True)) == sorted(zip(two.persons, two.cameras, strict=True))
    with pytest.raises(DataError, match="nothing is ever overwritten"):
        main(["make", FEW, "--out", str(folder)])


@needs_people
def test_a_sheet_shows_each_person_in_a_row(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "sheet.png"
    assert main(["sheet", FEW, "--out", str(file)]) == 0
    with Image.open(file) as sheet:
        width, height = sheet.size
    assert (width, height) == (4 * (2 * 32 + 2) - 2, 2 * (2 * 64 + 2) - 2)


@needs_people
def test_a_sheet_is_a_png_of_rendered_people(tmp_path: Path) -> None:
    with pytest.raises(ExperimentError, match="PNG"):
        main(["sheet", FEW, "--out", str(tmp_path / "sheet.jpg")])
    with pytest.raises(ExperimentError, match="Only rendered people"):
        main(["make", "noon", "--out", str(tmp_path / "made")])
    assert not list(tmp_path.iterdir())


def test_without_the_extra_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from snreid.synthetic.people import assets

    monkeypatch.setattr(assets, "_loaded", {})
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    monkeypatch.setenv("SNREID_CACHE", str(tmp_path / "cache"))
    with pytest.raises(ExperimentError, match=r"snreid\[people\]"):
        main(["make", FEW, "--out", str(tmp_path / "made")])
    assert not (tmp_path / "made").exists()
