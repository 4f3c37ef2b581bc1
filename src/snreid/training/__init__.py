"""Training: one loop on plain PyTorch and the stones it is built of."""
