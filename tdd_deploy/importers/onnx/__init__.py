"""ReLU networks in ONNX become Programs."""
