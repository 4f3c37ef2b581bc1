"""``snreid recipes``: the recipes for training."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from snreid.cli.flags import flag, parse


@dataclass(frozen=True, kw_only=True)
class Request:
    """List the recipes that can be trained, and the presets.

    Examples:
      snreid recipes
      snreid recipes --preset paper
    """

    preset: Annotated[str, flag("also print the settings of SNR under this preset", "NAME")] = ""


def main(arguments: Sequence[str]) -> int:
    """Prints every recipe with the first line of its docstring, and the presets."""
    request = parse(Request, arguments, "snreid recipes")
    from snreid.experiments import recipes

    for name, recipe in {**recipes.all_recipes(), **recipes.combined(), **recipes.starting_points()}.items():
        print(f"{name:<18} {(recipe.__doc__ or '').partition(chr(10))[0]}")
    print(
        "\npresets: small (random weights, 2 cores, minutes), mobile (ImageNet weights, 2 cores, 45 minutes), "
        "short (ResNet-50, 120 epochs), paper (ResNet-50, 320 epochs)"
    )
    if request.preset:
        print(json.dumps(recipes.snr(request.preset).to_json(), indent=2))
    return 0
