"""``snreid recipes``: what can be trained."""

from collections.abc import Sequence
from typing import Annotated

import tyro


def main(arguments: Sequence[str]) -> int:
    """Prints every recipe with its first docstring line, and the presets."""
    tyro.cli(_recipes, args=list(arguments), prog="snreid recipes")
    return 0


def _recipes(
    preset: Annotated[str, tyro.conf.arg(help="also show the settings of SNR under this preset")] = "",
) -> None:
    """List the schemes that can be trained, and the presets."""
    import json

    from snreid.experiments import recipes

    for name, recipe in {**recipes.all_recipes(), **recipes.starting_points()}.items():
        print(f"{name:<18} {(recipe.__doc__ or '').splitlines()[0]}")
    print(
        "\npresets: small (random weights, 2 cores, minutes), mobile (ImageNet weights, 2 cores, 45 minutes), "
        "short (ResNet-50, 120 epochs), paper (ResNet-50, 320 epochs)"
    )
    if preset:
        print(json.dumps(recipes.snr(preset).to_json(), indent=2))
