"""Comparisons of many runs: recipes on the same budget, protocols of the literature, and the paper's tables."""
