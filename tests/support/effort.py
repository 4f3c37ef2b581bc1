"""How many cases a property test tries: ``make soak`` multiplies them."""

import os


def examples(count: int) -> int:
    """``count``, times the variable SNREID_EFFORT if it is set."""
    return count * int(os.environ.get("SNREID_EFFORT", "1"))
