from .embedder import Embedder as Embedder
from .inputs import image_sources as image_sources
from .onnx_embedder import OnnxEmbedder as OnnxEmbedder

__all__: list[str]
