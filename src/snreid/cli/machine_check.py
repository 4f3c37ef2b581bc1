"""``snreid machine-check``: do the packaged models compute here what they computed where they were made?"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from snreid.cli.flags import Json, parse
from snreid.errors import CheckpointError
from snreid.system.cores import usable_cores
from snreid.system.provenance import provenance

_SAME = 0.999
"""Cosine from which an embedding equals the stored one up to rounding; 8-bit models differ more, other weights far more."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """Show the versions, cores and devices that snreid uses here, and test each
    packaged model. Exit code 1 if its embeddings differ from the stored ones.

    Examples:
      snreid machine-check
      snreid machine-check --json
    """

    json: Json = False


def main(arguments: Sequence[str]) -> int:
    """Print the results; exit code 1 when an embedding differs."""
    request = parse(Request, arguments, "snreid machine-check")
    checks = checked()
    if request.json:
        print(json.dumps(checks, indent=1))
    else:
        for name, value in checks.items():
            print(f"{name:<20} {value}")
    return int(any(isinstance(value, float) and not value >= _SAME for value in checks.values()))


def checked() -> dict[str, Any]:
    """Versions, cores, devices, and for each packaged model the smallest cosine of its self-test, or why there is none."""
    import torch

    from snreid.experiments.packaged import NAMES
    from snreid.experiments.publishing import self_test
    from snreid.experiments.runs import open_run

    made = provenance()
    results: dict[str, Any] = {
        "snreid": made["versions"]["snreid"],
        "python": made["python"],
        "torch": made["versions"]["torch"],
        "platform": made["platform"],
        "cores": usable_cores(),
        "cuda": torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
    }
    for name in NAMES:
        try:
            run = open_run(Path(name))
            results[f"model {name}"] = self_test(run.folder, run.embedder())
        except CheckpointError as error:
            results[f"model {name}"] = str(error)
    return results
