"""Imported first by the process that starts loader workers (``images/decoding.py``), and by nothing else.

SLURM signals every process of a job, a terminal's Ctrl-C every process before it. Workers and their server leave SIGTERM and SIGINT to
the main process, which finishes and saves its step; when that has gone they end by themselves. Until this is imported both are blocked
(``images/decoding.py: _start_server``).
"""

import signal

signal.signal(signal.SIGTERM, signal.SIG_IGN)
signal.signal(signal.SIGINT, signal.SIG_IGN)
