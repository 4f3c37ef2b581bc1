"""``import snreid`` and ``snreid --help`` answer at once: neither loads torch, in an interpreter of its own."""

import json
import subprocess
import sys

import pytest

HEAVY = ("torch", "torchvision", "timm", "scipy", "numpy", "onnxruntime", "pyarrow", "h5py", "jaxtyping", "tensorboard")


def _loaded_after(code: str) -> set[str]:
    """Which heavy packages a fresh interpreter has loaded after ``code``. No socket can be opened meanwhile."""
    script = f"""
import json, socket, sys
class Refused(socket.socket):
    def connect(self, *_):
        raise SystemExit("opened a connection at import")
socket.socket = Refused
{code}
print("LOADED", json.dumps([name for name in {HEAVY!r} if name in sys.modules]))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.rsplit("LOADED", 1)[1]))


def test_importing_the_package_loads_nothing_heavy() -> None:
    assert _loaded_after("import snreid; assert snreid.__version__") == set()


def test_a_public_name_is_loaded_when_it_is_asked_for() -> None:
    assert "torch" in _loaded_after("import snreid; snreid.SNR")


@pytest.mark.parametrize("flag", ["--help", "--version"])
def test_the_command_answers_without_torch(flag: str) -> None:
    run = f"""
sys.argv = ["snreid", {flag!r}]
from snreid.cli import main
try:
    code = main()
except SystemExit as end:
    code = end.code
assert not code, code
"""
    assert not _loaded_after(run) & {"torch", "torchvision", "timm", "scipy", "onnxruntime", "pyarrow", "h5py"}
