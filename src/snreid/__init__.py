"""Person re-identification on cameras never seen in training: SNR, its baselines and a fair comparison of them.

Public names are loaded on first use, so that ``import snreid`` and the command line start without torch::

    import snreid

    snr = snreid.SNR(256)            # loads torch now
    maps = snr(maps)                 # style removed, identity restored: (B, 256, H, W) in and out

``__all__`` is the whole public surface; everything else may change without notice.
"""

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:  # the same list as _HOME, for type checkers and editors; a test holds the two together
    from snreid.losses import CrossEntropy, DualCausality, EntropyCausality, Triplet
    from snreid.models.snr import SNR

_HOME = {
    "CrossEntropy": "snreid.losses",
    "DualCausality": "snreid.losses",
    "EntropyCausality": "snreid.losses",
    "SNR": "snreid.models.snr",
    "Triplet": "snreid.losses",
}
"""Where each public name lives."""

__all__ = [
    "SNR",
    "CrossEntropy",
    "DualCausality",
    "EntropyCausality",
    "Triplet",
    "__version__",
]


def __getattr__(name: str) -> object:
    """The public name, from its home. Raises ``AttributeError`` for any other, with the nearest that exists."""
    if name in _HOME:
        value: object = getattr(import_module(_HOME[name]), name)
        globals()[name] = value
        return value
    from difflib import get_close_matches

    close = get_close_matches(name, _HOME, n=1, cutoff=0.5)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    raise AttributeError(f"snreid has no public name {name!r}{hint}")


def __dir__() -> list[str]:
    """The public names, loaded or not."""
    return sorted(set(globals()) | set(__all__))
