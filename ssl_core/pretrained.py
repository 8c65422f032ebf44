"""The word for weights that a network's publisher has for download, here because this module imports no PyTorch."""

PRETRAINED = "pretrained"
"""As a backbone's `weights`: what timm or torchvision downloads."""
