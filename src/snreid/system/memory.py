"""Keep freed memory in the process, so that the next training step reuses its pages.

The C library returns large blocks to the operating system as soon as they are freed. Training allocates and frees the same feature maps in
every step, so the system would clear hundreds of thousands of pages a step (docs/log/speed-network.md, "Speed, second look").
"""

import ctypes
import os
import sys

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4
"""Parameters of ``mallopt`` in glibc's malloc.h."""
_AT_ONCE = 64 << 20
"""Least number of bytes by which the process grows."""


def keep_freed_memory() -> bool:
    """Tell the C library to return no freed memory to the system before the process ends, and return whether it was told.

    Peak memory grows by about a tenth. The setting concerns the whole process, so the command ``snreid`` makes it and importing the library
    does not. It works on Linux with glibc only. The environment has precedence (``MALLOC_...``, ``GLIBC_TUNABLES``).
    """
    configured = any(name.startswith("MALLOC_") or name == "GLIBC_TUNABLES" for name in os.environ)
    if configured or not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return all(mallopt(name, value) for name, value in ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, -1), (_TOP_PAD, _AT_ONCE)))
