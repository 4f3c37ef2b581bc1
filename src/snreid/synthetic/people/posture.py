"""What the limbs of a walker do at one instant."""

from dataclasses import dataclass

from snreid.synthetic.limits import check_range, check_word

ACTIONS = ("walk", "stand", "phone", "call", "hold", "pockets", "ride")
"""What the arms and legs do. All but ``stand`` and ``ride`` (a bicycle) walk where there is a stride."""


@dataclass(frozen=True, kw_only=True)
class Posture:
    """What the limbs do at one instant. Angles in radians."""

    action: str = "walk"
    """One of ``ACTIONS``."""
    phase: float = 0.0
    """Of the step, turns: the left heel meets the ground at 0, the right one at 0.5."""
    stride: float = 1.0
    """1 is a usual step, 0 stands still."""
    swing: float = 1.0
    """Of the arms."""
    spread: float = 0.08
    """How far the arms are from the sides."""
    lean: float = 0.03
    """Of the trunk, forward."""
    head: tuple[float, float] = (0.0, 0.05)
    """The head turned to the left and bent forward."""
    side: int = 1
    """1 or -1: the arm that is busy, left or right."""
    laden: int = 0
    """1 or -1: the arm that carries something and hangs; 0 none."""

    def __post_init__(self) -> None:
        """Raise ``ExperimentError`` for a posture that cannot be taken."""
        check_word("Posture.action", self.action, ACTIONS)
        check_range("Posture.stride", self.stride, 0.0, 1.6)
        check_range("Posture.swing", self.swing, 0.0, 2.0)
        check_range("Posture.lean", self.lean, -0.3, 0.8)
