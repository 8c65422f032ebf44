"""One split of the data, as an evaluation sees it."""

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from ssl_core.data import targets
from ssl_core.evaluation import kinds
from ssl_core.evaluation.embedding import Images
from ssl_core.evaluation.kinds import Kind


@dataclass(frozen=True, kw_only=True, eq=False)
class Split:
    """Images, labels int64 [N] (-1: unlabelled), and stored representations float32 [N, D] on the images' device.

    Labels may be several an image, or numbers, as `data.targets` has them.
    """

    images: Images
    labels: np.ndarray
    representations: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def kind(self) -> Kind:
        """What is done with labels like these."""
        return kinds.of(self.labels)

    def take(self, index: np.ndarray) -> "Split":
        """The part at positions `index`."""
        return Split(
            images=self.images.take(index), labels=self.labels[index], representations=self.representations[index]
        )

    def labelled(self) -> "Split":
        """The part that has labels."""
        return self.take(np.flatnonzero(targets.known(self.labels)))

    def sample(self, count: int, seed: int) -> "Split":
        """`count` images, or all where there are fewer: the same for the same seed, in the order of the split."""
        return self.take(np.sort(np.random.default_rng(seed).permutation(len(self))[:count]))
