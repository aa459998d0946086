"""A Program as an ONNX model: one time step, or a loop over all of them."""
