"""What the server of loader workers does with signals; ``tests/reliability/test_preempted.py`` sees it at work."""

import signal
import subprocess
import sys


def test_who_imports_it_ignores_both_signals_from_then_on() -> None:
    words = (
        "import os, signal, snreid.images.loader_server; os.kill(os.getpid(), signal.SIGTERM); "
        "os.kill(os.getpid(), signal.SIGINT); print('alive')"
    )
    done = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, check=True)
    assert done.stdout == "alive\n"
    assert signal.getsignal(signal.SIGTERM) != signal.SIG_IGN, "nothing but that server may import it"
