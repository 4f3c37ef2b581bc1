"""The limbs of a walker at one instant."""

from dataclasses import dataclass

from snreid.synthetic.limits import check_fields

ACTIONS = ("walk", "stand", "phone", "call", "hold", "pockets", "ride")
"""Actions of the arms and legs. With a stride, all but ``stand`` and ``ride`` (a bicycle) walk."""


@dataclass(frozen=True, kw_only=True)
class Posture:
    """The limbs at one instant. Angles in radians."""

    action: str = "walk"
    """One of ``ACTIONS``."""
    phase: float = 0.0
    """Of the step, turns: the left heel meets the ground at 0, the right one at 0.5."""
    stride: float = 1.0
    """1 is a usual step, 0 stands still."""
    swing: float = 1.0
    """Swing of the arms."""
    spread: float = 0.08
    """Distance of the arms from the sides."""
    lean: float = 0.03
    """Forward lean of the trunk."""
    head: tuple[float, float] = (0.0, 0.05)
    """The head turned to the left and bent forward."""
    side: int = 1
    """1 or -1: the active arm, left or right."""
    laden: int = 0
    """1 or -1: the hanging arm that carries something; 0 none."""

    def __post_init__(self) -> None:
        check_fields(self, action=ACTIONS, stride=(0.0, 1.6), swing=(0.0, 2.0), lean=(-0.3, 0.8))
