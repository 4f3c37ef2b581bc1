"""One run: describe it (experiment), name it (recipes), train it (job), open it (runs) and score it (scoring)."""
