"""Self-supervised learning in PyTorch: data, views, backbones, objectives, training, evaluation."""
