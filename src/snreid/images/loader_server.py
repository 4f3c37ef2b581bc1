"""Imported first by the server that forks loader workers (``images/decoding.py``), and by nothing else.

SLURM signals every process of a job, and a terminal's Ctrl-C reaches every process in the foreground. Workers and their server ignore
SIGTERM and SIGINT, because the main process finishes and saves its step; they end when it does. Both signals are blocked until this module
is imported (``images/decoding.py: _start_server``).
"""

import signal

signal.signal(signal.SIGTERM, signal.SIG_IGN)
signal.signal(signal.SIGINT, signal.SIG_IGN)
