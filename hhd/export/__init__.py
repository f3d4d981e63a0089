"""``hhd export``: a model file to one checked ONNX graph, from pixels to keypoints."""
