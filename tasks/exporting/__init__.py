"""What leaves the project: how weights are loaded without it, an ONNX graph, a model card, embeddings of images."""
