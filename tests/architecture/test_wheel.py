"""The wheel is complete: built from the sdist, installed beside nothing of ours, and used from another folder."""

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.slow


def _run(*command: str | Path, cwd: Path) -> str:
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "SNREID_SHAPE_CHECKS")}
    words = [str(word) for word in command]
    done = subprocess.run(words, cwd=cwd, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the sdist as an installer without a wheel would."""
    out = tmp_path_factory.mktemp("dist")
    _run(sys.executable, "-m", "build", "--no-isolation", "--outdir", out, ROOT, cwd=out)
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scripts folder of an environment with the wheel in it; dependencies come from the environment of the tests."""
    home = tmp_path_factory.mktemp("environment")
    venv.create(home, with_pip=False)
    scripts = home / ("Scripts" if os.name == "nt" else "bin")
    pip = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        scripts / "python",
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        wheel,
    ]
    _run(*pip, cwd=home)
    # A path line in a .pth file is added as it is: an editable snreid of the test environment stays invisible.
    (site,) = home.glob("lib/python*/site-packages") if os.name != "nt" else [home / "Lib" / "site-packages"]
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    return scripts


def test_every_source_file_and_both_licence_files_are_in_the_wheel(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    files = [path for path in (ROOT / "src").rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    missing = {path.relative_to(ROOT / "src").as_posix() for path in files} - names
    assert not missing, f"not in the wheel: {sorted(missing)}"
    assert "snreid/py.typed" in names
    assert {Path(name).name for name in names if ".dist-info/licenses/" in name} == {"LICENSE", "NOTICE"}


def test_nothing_but_the_package_is_in_the_wheel(wheel: Path) -> None:
    roots = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert roots == {"snreid", next(name for name in roots if name.endswith(".dist-info"))}


def test_the_command_runs_from_another_folder(installed: Path, tmp_path: Path) -> None:
    place = _run(installed / "python", "-c", "import snreid; print(snreid.__file__)", cwd=tmp_path)
    assert Path(place.strip()).is_relative_to(installed.parent)
    version = _run(installed / "python", "-c", "import snreid; print(snreid.__version__)", cwd=tmp_path).strip()
    assert version in _run(installed / "snreid", "--version", cwd=tmp_path)
    assert "check" in _run(installed / "snreid", "data", "--help", cwd=tmp_path)


def test_the_method_works_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    use = "import snreid, torch; print(tuple(snreid.SNR(32)(torch.rand(2, 32, 4, 4))[0].shape))"
    _run(installed / "python", "-c", use, cwd=tmp_path)
