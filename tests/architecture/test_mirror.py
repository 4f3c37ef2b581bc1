"""Tests mirror the source: whoever changes a module knows where its test is."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any


def test_every_module_has_a_test_of_its_name(sources: Sequence[Any], root: Path) -> None:
    missing = []
    for source in sources:
        module = Path(source.name)
        if module.stem in ("__init__", "__main__"):
            continue
        test = root / "tests" / module.parent / f"test_{module.stem.lstrip('_')}.py"
        if not test.is_file():
            missing.append(str(test.relative_to(root)))
    assert not missing, f"modules without their test: {missing}"


def test_every_test_has_a_module_of_its_name(sources: Sequence[Any], root: Path) -> None:
    """A test left behind by a renamed module would go on testing nothing of that name."""
    modules = {Path(s.name).with_name(Path(s.name).stem.lstrip("_")).as_posix() for s in sources}
    families = {Path(s.name).parts[0] for s in sources if len(Path(s.name).parts) > 1}
    orphans = []
    for test in sorted((root / "tests").rglob("test_*.py")):
        inside = test.relative_to(root / "tests")
        module = inside.with_name(inside.stem.removeprefix("test_")).as_posix()
        # A second file of a family may test one aspect of a module: test_snr_gradients.py beside test_snr.py.
        aspect_of = [m for m in modules if module == m or module.startswith(m + "_")]
        if inside.parts[0] in families and not aspect_of:
            orphans.append(str(inside))
    assert not orphans, f"tests whose module is gone: {orphans}"
