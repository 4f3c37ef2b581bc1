"""The contact sheet has a column per domain and two rows per person."""

import numpy as np
import pytest

from snreid.errors import ExperimentError
from snreid.synthetic.pedestrians import DOMAINS
from snreid.synthetic.pedestrians.sheet import contact_sheet, sheet_picture


def test_size_and_content() -> None:
    sheet = contact_sheet(DOMAINS[:2], persons=1, size=(64, 32))
    assert sheet.dtype == np.uint8 and sheet.shape == (16 + 22 + 2 * 64 + 6, 16 + 2 * (2 * 32 + 6), 3)
    heading = sheet[8:30]
    assert heading.min() < 100 and heading.max() == 255
    assert contact_sheet(DOMAINS[:1], persons=1, size=(64, 32), scale=2).shape[0] == 16 + 22 + 2 * 128 + 6


def test_the_same_person_from_both_sides() -> None:
    front = sheet_picture(DOMAINS[0], 0, 1, False, 0, (64, 32))
    behind = sheet_picture(DOMAINS[3], 0, 1, True, 0, (64, 32))
    assert front.identity == behind.identity
    assert abs(front.moment.direction) < 0.08 and abs(behind.moment.direction - 0.5) < 0.08


def test_empty_sheets_are_refused() -> None:
    with pytest.raises(ExperimentError, match="0 persons"):
        contact_sheet(persons=0)
