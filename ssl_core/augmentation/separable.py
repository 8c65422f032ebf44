"""Two matrices per image: how a batch is resized and blurred with different parameters for each image."""

from torch import Tensor


def filter_sides(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Mix each image's rows and columns of pixels by its own matrices.

    Args:
        images: float [N, C, H, W].
        rows: float [N, H', H]; row i holds the weights of the source rows in the new row i.
        columns: float [N, W', W]; the same for columns.

    Returns:
        float [N, C, H', W'].
    """
    mixed = rows[:, None] @ images
    # The columns of all colours in one product: one large matrix is faster than several small ones.
    return (mixed.flatten(1, 2) @ columns.mT).unflatten(1, mixed.shape[1:3])
