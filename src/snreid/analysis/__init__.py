"""Analysis of a finished run: where it fails (diagnosis) and what its normalization removes and restores (lens)."""
