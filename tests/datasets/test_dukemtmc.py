"""DukeMTMC-reID: only where somebody says that it is withdrawn."""

from pathlib import Path

import pytest

from snreid.datasets import DukeMTMC, check
from support.trees import draw, refused, touch

NAMES = (
    "bounding_box_train/0001_c2_f0046182.jpg",
    "bounding_box_train/0001_c6_f0046302.jpg",
    "bounding_box_train/0005_c1_f0060001.jpg",
    "bounding_box_train/0005_c8_f0060121.jpg",
    "query/0002_c1_f0044158.jpg",
    "bounding_box_test/0002_c2_f0044280.jpg",
    "bounding_box_test/7139_c2_f0160815.jpg",
)
READ = DukeMTMC(withdrawn_ok=True)


@pytest.mark.parametrize("outer", ["", "DukeMTMC-reID", "dukemtmc-reid/DukeMTMC-reID"])
def test_labels_come_from_the_names_and_a_warning_stands_in_the_notes(outer: str, tmp_path: Path) -> None:
    touch(tmp_path / outer, NAMES)
    data = READ.read(tmp_path)
    assert data.name == "dukemtmc"
    assert data.train.persons.tolist() == [1, 1, 5, 5] and data.train.cameras.tolist() == [2, 6, 1, 8]
    assert data.query.persons.tolist() == [2] and data.gallery.persons.tolist() == [2, 7139]
    assert "withdrawn" in data.notes[0] and "consent" in data.notes[0]


def test_without_the_word_it_is_not_read_and_nothing_on_disk_matters(tmp_path: Path) -> None:
    touch(tmp_path, NAMES)
    refused(DukeMTMC(), tmp_path, "withdrew", "consent", "dukemtmc:withdrawn_ok=true", "DukeMTMC(withdrawn_ok=True)")
    refused(DukeMTMC(), tmp_path / "nowhere", "dukemtmc:withdrawn_ok=true")


@pytest.mark.parametrize(
    "name", ["0000_c2_f0046182.jpg", "0001_c9_f0046182.jpg", "0002_c1s1_000451_03.jpg", "-1_c1_f01.jpg"]
)
def test_a_strange_name_is_an_error_with_the_form(name: str, tmp_path: Path) -> None:
    touch(tmp_path, (*NAMES, f"bounding_box_train/{name}"))
    refused(READ, tmp_path, name, "PPPP_cC_fFFFFFFF.jpg")


def test_a_missing_folder_and_wrong_counts_are_said(tmp_path: Path) -> None:
    refused(READ, tmp_path, "bounding_box_train", "DukeMTMC-reID", "there is none any more")
    report = check(READ, draw(tmp_path, NAMES), decode=True)
    assert not report.ok and not report.failure
    assert "16,518 images missing, 700 persons missing" in "\n".join(report.lines())
