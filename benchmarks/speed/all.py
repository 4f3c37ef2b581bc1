"""All speed scripts of this folder, one after the other, each in a process of its own; then the targets as one table: ``make bench``.

Writes ``benchmarks/results/speed/*.json`` and, from them, ``docs/performance.md``. Under 15 minutes on two idle cores. With ``--gpu``
(``make gpu``) only what needs a GPU, in a few minutes, written beside what was measured on a processor.
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

from race import no_gpu

HERE = Path(__file__).resolve().parent
SCRIPTS = ("snr", "network", "evaluation", "reranking", "loading", "extraction", "training")
"""In the order of the page."""
ON_GPU = ("snr", "network", "training")
"""Those that have rows for a GPU."""


def main() -> None:
    """Ends with status 1 when a script fails; a missed target is no failure, it is in the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that all run; writes nothing")
    parser.add_argument("--gpu", action="store_true", help=f"only what needs a GPU: {', '.join(ON_GPU)}")
    parser.add_argument("only", nargs="*", metavar="SCRIPT", help=f"of {', '.join(SCRIPTS)} (default: all)")
    given = parser.parse_args()
    scripts = ON_GPU if given.gpu else SCRIPTS
    unknown = sorted(set(given.only) - set(scripts))
    if unknown:
        parser.error(f"{unknown[0]} is none of {', '.join(scripts)}")
    if given.gpu and no_gpu():
        sys.exit(f"--gpu {no_gpu()}")
    flags = [flag for flag, said in (("--quick", given.quick), ("--gpu", given.gpu)) if said]
    failed = []
    began = time.monotonic()
    for script in given.only or scripts:
        started = time.monotonic()
        command = [sys.executable, str(HERE / f"{script}.py"), *flags]
        if subprocess.run(command, env={**os.environ, "PYTHONPATH": _path()}, check=False).returncode:
            failed.append(script)
        print(f"{script}: {time.monotonic() - started:.0f} s", flush=True)
    if not given.quick:
        subprocess.run([sys.executable, str(HERE.parent / "write_performance.py")], check=True)
    print(f"All took {(time.monotonic() - began) / 60:.1f} minutes.")
    if failed:
        sys.exit(f"Failed: {', '.join(failed)}")


def _path() -> str:
    """The scripts import each other's ``race`` from their folder, and the slow twins from the tests."""
    parts = [str(HERE.parents[1] / "tests"), os.environ.get("PYTHONPATH", "")]
    return os.pathsep.join(part for part in parts if part)


if __name__ == "__main__":
    main()
