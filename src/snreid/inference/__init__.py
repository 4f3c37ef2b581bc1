"""From a trained model to embeddings: fold, embed, export to ONNX or OpenVINO, quantize."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
