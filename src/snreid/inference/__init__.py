"""From a trained model to embeddings: fold, embed, export to ONNX or OpenVINO, quantize."""
