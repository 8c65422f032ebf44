"""Images from their sources, and the prepared arrays that every stage reads: one file a source, one line each here."""

from pathlib import Path

from ssl_core.data import fashion_mnist, folder, shapes, torchvision_sets
from ssl_core.data.fashion_mnist import FashionMNISTConfig
from ssl_core.data.folder import FolderConfig
from ssl_core.data.shapes import ShapesConfig
from ssl_core.data.source import Reading
from ssl_core.data.torchvision_sets import TorchvisionSetConfig

DataConfig = FashionMNISTConfig | TorchvisionSetConfig | FolderConfig | ShapesConfig


def read(config: DataConfig, raw: Path) -> Reading:
    """The source's images on their way in; what is downloaded is kept in `raw`."""
    match config:
        case FashionMNISTConfig():
            return fashion_mnist.read(config, raw)
        case TorchvisionSetConfig():
            return torchvision_sets.read(config, raw)
        case FolderConfig():
            return folder.read(config, raw)
        case ShapesConfig():
            return shapes.read(config, raw)
