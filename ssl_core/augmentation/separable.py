"""Two matrices per image: how a batch is resized and blurred with different parameters for each image."""

from torch import Tensor


def filter_sides(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Mix each image's rows and columns of pixels by its own matrices.

    Args:
        images: float [N, C, H, W].
        rows: float [N, H', H]; row i holds the weights of the source rows in the new row i.
        columns: float [N, W', W]; the same for columns.

    Returns:
        float [N, C, H', W'], with the memory of [C, N, H', W'].
    """
    planes = images.transpose(0, 1)
    return (rows @ planes @ columns.mT).transpose(0, 1)
