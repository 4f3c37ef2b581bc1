"""A run's model as a file that other runtimes read: ONNX, OpenVINO's own, and both in 8 bits. ``snreid export`` is the way in."""

from snreid.export.int8 import quantize
from snreid.export.onnx_file import Exported, write_onnx
from snreid.export.openvino_file import OpenVinoEmbedder, write_openvino

__all__ = ["Exported", "OpenVinoEmbedder", "quantize", "write_onnx", "write_openvino"]
