"""Images from their sources, and the prepared arrays that every stage reads: one file a source, one line each here."""

from pathlib import Path

from ssl_core.data import fashion_mnist, folder, npz, parquet, shapes, torchvision_sets, webdataset
from ssl_core.data.fashion_mnist import FashionMNISTConfig
from ssl_core.data.folder import FolderConfig
from ssl_core.data.npz import NpzConfig
from ssl_core.data.parquet import ParquetConfig
from ssl_core.data.shapes import ShapesConfig
from ssl_core.data.source import Reading
from ssl_core.data.torchvision_sets import TorchvisionSetConfig
from ssl_core.data.webdataset import WebDatasetConfig

DataConfig = (
    FashionMNISTConfig
    | TorchvisionSetConfig
    | FolderConfig
    | ShapesConfig
    | NpzConfig
    | ParquetConfig
    | WebDatasetConfig
)


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
        case NpzConfig():
            return npz.read(config, raw)
        case ParquetConfig():
            return parquet.read(config, raw)
        case WebDatasetConfig():
            return webdataset.read(config, raw)
