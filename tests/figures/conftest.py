"""One small report for all tests of the figures."""

import pytest

from snreid.figures.report_page import Report
from support.report_samples import make_report


@pytest.fixture(scope="session")
def report() -> Report:
    """Three schemes, three domains, one example; rendering it takes a fraction of a second."""
    return make_report()
