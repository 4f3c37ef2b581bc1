"""Many runs as one table: recipes compared on the same budget, protocols of the literature and the paper's own tables."""
