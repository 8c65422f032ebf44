"""DeepCluster v2: Caron et al., 2018, arXiv:1807.05520; version 2 in SwAV's appendix, 2020, arXiv:2006.09882.

A memory of embeddings is clustered by spherical k-means; for K centroids c, all of length 1 as the embeddings z are:

    k-means     each embedding to the nearest centroid, each centroid to the direction of its embeddings' mean; 10 times
    label       y = the centroid nearest to a view's embedding
    loss        = mean over the global views g and all other views v of  -mean over N of log softmax(z_v.c / T)[y_g]

The centroids are the classifier's weights, and not learnt. Local views (multi-crop) predict and have no labels.
Global ones may be more than the authors' two.
Normalisation: the authors' code. Deviations: the authors' label of an image is its cluster in the memory, which holds
one embedding an image, of the epoch before; that asks for whole epochs, and for images that can be told apart. Here the
memory is of the last embeddings of view 1 and is clustered every so many steps; a view's label is the cluster of the
other view of its image in this step. So a stream of images of any length will do. While the memory fills, it is
clustered after each step (the authors fill theirs before the first). One set of 32 centroids; the authors have three
of 3000. Memory and labels are of a momentum encoder's embeddings, which the paper has not: with `momentum: null` they
are the student's.
"""

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from ssl_core.augmentation import View
from ssl_core.backbones import Backbone, BackboneConfig
from ssl_core.heads import MomentumConfig, Queue, check_whole_batches
from ssl_core.objectives.joint_embedding import JointEmbedding, JointEmbeddingConfig
from ssl_core.objectives.objective import in_float32
from ssl_core.objectives.swav import swapped_prediction
from ssl_core.parallel import gather

ITERATIONS = 10


@dataclass(frozen=True, kw_only=True)
class DeepClusterV2Config(JointEmbeddingConfig):
    """The temperature, the clusters, the embeddings in the memory, and after how many steps they are clustered anew."""

    name: Literal["deepcluster_v2"]
    temperature: float = 0.1
    clusters: int = 32
    memory: int = 4096
    every: int = 50
    momentum: MomentumConfig | None = field(default_factory=MomentumConfig)

    def __post_init__(self) -> None:
        if self.temperature <= 0:
            raise ValueError(f"temperature is {self.temperature}; it must be above 0")
        for name, least in (("clusters", 2), ("every", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} is {getattr(self, name)}; at least {least} is needed")
        if self.clusters > self.memory:
            raise ValueError(
                f"clusters is {self.clusters}; the memory has {self.memory} embeddings, take at most those"
            )


class DeepClusterV2(JointEmbedding):
    """A view predicts the cluster of the other views of its image."""

    centroids: Tensor
    steps: Tensor
    seen: Tensor

    family: ClassVar[str] = "joint-embedding, clustering"

    def __init__(self, config: DeepClusterV2Config, backbone: Backbone, image_size: int, classes: int) -> None:
        super().__init__(config, backbone)
        self.temperature, self.every = config.temperature, config.every
        self.memory = Queue(config.memory, self.embedding_size)
        self.register_buffer("centroids", F.normalize(torch.randn(config.clusters, self.embedding_size), dim=1))
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))  # embeddings that the memory was given

    @classmethod
    def check(cls, config: Any, backbone: BackboneConfig, image_size: int, batch_size: int) -> None:
        """Refuse a memory that does not hold whole batches."""
        super().check(config, backbone, image_size, batch_size)
        check_whole_batches("memory", config.memory, batch_size)

    def forward(self, views: list[View], labels: Tensor | None = None) -> dict[str, Tensor]:
        """The cross-entropy of the global views' clusters."""
        z = self.embed(views)
        targets = self.targets(views, z)
        clusters = torch.stack([similarity(each, self.centroids) for each in targets]).argmax(dim=2)
        scores = torch.stack([similarity(each, self.centroids) for each in z])
        loss = swapped_prediction(F.one_hot(clusters, len(self.centroids)), scores, temperature=self.temperature)
        if self.training:
            embeddings = gather(targets[0])
            self.memory.push(embeddings)
            self.seen += len(embeddings)
        return {"cluster": loss}

    @torch.no_grad()
    def after_step(self, progress: float) -> None:
        """Move the teacher; cluster the memory when it is time."""
        super().after_step(progress)
        self.steps += 1
        seen, step = torch.stack([self.seen, self.steps]).tolist()
        if seen and (seen <= len(self.memory.rows) or step % self.every == 0):
            self.cluster(self.memory()[:seen], seed=step)

    def cluster(self, rows: Tensor, seed: int) -> None:
        """Set the centroids from embeddings [M, D]; those it begins from are drawn the same in every process."""
        drawn = torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))
        first = rows[drawn[torch.arange(len(self.centroids)) % len(rows)]]
        self.centroids.copy_(spherical_k_means(rows, first, iterations=ITERATIONS))


@in_float32
def similarity(z_ND: Tensor, centroids_KD: Tensor) -> Tensor:
    """The cosine similarities [N, K] of embeddings with centroids, whose length is 1."""
    return F.normalize(z_ND, dim=1) @ centroids_KD.T


@in_float32
def spherical_k_means(z_MD: Tensor, centroids_KD: Tensor, *, iterations: int) -> Tensor:
    """The centroids after some iterations on embeddings of length 1; one without embeddings stays where it is."""
    for _ in range(iterations):
        members = F.one_hot((z_MD @ centroids_KD.T).argmax(dim=1), len(centroids_KD)).float()
        means = F.normalize(members.T @ z_MD, dim=1)
        centroids_KD = torch.where(members.any(dim=0)[:, None], means, centroids_KD)
    return centroids_KD
