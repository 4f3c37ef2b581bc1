"""The exact ranking engine: similarities in blocks, ranks by counting, ties and near-ties resolved in float64."""
