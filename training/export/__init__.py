"""Export of trained networks: ONNX, int8 quantisation, and reading networks back from ONNX."""
