"""One run: describe it (experiment), name it (recipes), train it (job), open it (runs) and score it (scoring)."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
