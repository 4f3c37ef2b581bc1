"""From files to batches: read and decode images, keep their pixels, augment them and load them in batches."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
