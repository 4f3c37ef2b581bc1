"""Memory that was freed stays with the process, so that the next step finds its pages warm.

The C library gives large blocks back to the operating system as soon as they are freed, and training frees and asks for the same maps in
every step: the system then clears hundreds of thousands of pages a step (docs/decisions.md, "Speed, second look").
"""

import ctypes
import os
import sys

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4
"""Names of glibc's malloc.h."""
_AT_ONCE = 64 << 20
"""Bytes by which the process grows at least."""


def keep_freed_memory() -> bool:
    """Never give freed memory back before the process ends; whether the C library could be told so.

    Memory that is asked for anew is taken from what was freed, so the peak hardly grows (by about a tenth; docs/decisions.md). It
    concerns the whole process, so the command ``snreid`` does it and importing the library does not. Linux with glibc; nothing happens
    elsewhere, nor where the environment already says how memory is handed out (``MALLOC_...``, ``GLIBC_TUNABLES``).
    """
    chosen = any(name.startswith("MALLOC_") or name == "GLIBC_TUNABLES" for name in os.environ)
    if chosen or not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return all(mallopt(name, value) for name, value in ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, -1), (_TOP_PAD, _AT_ONCE)))
