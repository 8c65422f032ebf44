"""SwAV: Caron et al., 2020, arXiv:2006.09882.

For the similarities s [N, K] of a view's embeddings with K prototypes, all of length 1 (equations 2 to 5):

    code        q = Sinkhorn-Knopp(exp(s / epsilon)): each image shares 1 among the prototypes, and all prototypes are
                    given the same share of the N images of all processes
    prediction  p = softmax(s / T)
    loss        = mean over the global views g and all other views v of  -mean over N of sum over K of q_g log p_v

No gradient reaches the codes. Local views (multi-crop) predict and have no codes. Normalisation: the authors' code.
With a queue, each global view's embeddings of past batches share in making its codes, and in nothing else.
Of more than two global views the first two alone have codes, as the authors' do by default; the others predict.
Deviations: there are 128 prototypes (3000), as many as a batch can share; their lengths are divided out, the authors
scale them to 1 before each step. Weight decay shortens them: with us that changes how far a step turns them, with the
authors next to nothing. The authors' crops are of 0.14 to 1 of the image and local ones of 0.05 to 0.14, DINO's ranges
(`multi_crop`) other. The authors freeze the prototypes in the first epoch and begin with the queue after
some; here both take part from the first step, the queue being random directions then. With a momentum encoder, which
the paper has not, the codes are of the teacher's embeddings.
"""

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from ssl_core.augmentation import View
from ssl_core.backbones import Backbone, BackboneConfig
from ssl_core.heads import Prototypes, Queue, check_whole_batches
from ssl_core.objectives.joint_embedding import JointEmbedding, JointEmbeddingConfig
from ssl_core.objectives.objective import in_float32
from ssl_core.parallel import gather

ITERATIONS = 3
CODED = 2
"""Views that have codes, the first ones."""


@dataclass(frozen=True, kw_only=True)
class SwAVConfig(JointEmbeddingConfig):
    """The temperature of the predictions, epsilon of the codes, the prototypes, and the queue's size (0: none)."""

    name: Literal["swav"]
    temperature: float = 0.1
    epsilon: float = 0.05
    prototypes: int = 128
    queue: int = 0

    def __post_init__(self) -> None:
        if self.temperature <= 0 or self.epsilon <= 0:
            raise ValueError(f"temperature is {self.temperature}, epsilon {self.epsilon}; both must be above 0")
        for name, least in (("prototypes", 2), ("queue", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} is {getattr(self, name)}; at least {least} is needed")


class SwAV(JointEmbedding):
    """A view predicts to which prototypes the other views of its image were assigned."""

    family: ClassVar[str] = "joint-embedding, clustering"

    def __init__(self, config: SwAVConfig, backbone: Backbone, image_size: int, classes: int) -> None:
        super().__init__(config, backbone)
        self.temperature, self.epsilon = config.temperature, config.epsilon
        self.prototypes = Prototypes(self.embedding_size, config.prototypes)
        queues = [Queue(config.queue, self.embedding_size) for _ in range(CODED)]
        self.queues = nn.ModuleList(queues) if config.queue else None

    @classmethod
    def check(cls, config: Any, backbone: BackboneConfig, image_size: int, batch_size: int) -> None:
        """Refuse a queue that does not hold whole batches, and more prototypes than images that share them."""
        super().check(config, backbone, image_size, batch_size)
        if config.queue:
            check_whole_batches("queue", config.queue, batch_size)
        if config.prototypes > batch_size + config.queue:
            raise ValueError(
                f"prototypes is {config.prototypes}; the {batch_size} images of a batch and {config.queue} of the "
                f"queue are shared out equally, at least one a prototype: take at most {batch_size + config.queue}, or "
                f"queue at least {math.ceil(config.prototypes / batch_size - 1) * batch_size}"
            )

    def forward(self, views: list[View], labels: Tensor | None = None) -> dict[str, Tensor]:
        """The swapped prediction of the first two views' codes."""
        z = self.embed(views)
        targets = self.targets(views[:CODED], z)
        codes = torch.stack([self.codes(gather(each), i) for i, each in enumerate(targets)])
        scores = torch.stack([self.prototypes(gather(each)) for each in z])
        return {"swapped_prediction": swapped_prediction(codes, scores, temperature=self.temperature)}

    @torch.no_grad()
    def codes(self, z: Tensor, view: int) -> Tensor:
        """The codes [N, K] of one global view's embeddings [N, D], those of all processes."""
        if self.queues is None:
            return sinkhorn(self.prototypes(z), epsilon=self.epsilon, iterations=ITERATIONS)
        queue = self.queues[view]
        assert isinstance(queue, Queue)
        scores = self.prototypes(torch.cat([z.float(), queue()]))
        if self.training:
            queue.push(z)
        return sinkhorn(scores, epsilon=self.epsilon, iterations=ITERATIONS)[: len(z)]


@in_float32
def sinkhorn(scores_NK: Tensor, *, epsilon: float, iterations: int) -> Tensor:
    """exp(scores / epsilon), scaled in turn until columns sum to the same and rows to 1 (rows do after any turn)."""
    logarithm = scores_NK / epsilon  # an exponential of it would overflow where epsilon is small
    for _ in range(iterations):
        logarithm = logarithm.log_softmax(dim=0).log_softmax(dim=1)
    return logarithm.exp()


@in_float32
def swapped_prediction(codes_GNK: Tensor, scores_VNK: Tensor, *, temperature: float) -> Tensor:
    """The cross-entropy of each global view's codes with every other view's predictions; the first G views are they."""
    predictions = (scores_VNK / temperature).log_softmax(dim=2)
    entropies = -torch.einsum("gnk,vnk->gv", codes_GNK, predictions) / codes_GNK.shape[1]
    others = 1 - torch.eye(*entropies.shape, device=entropies.device)
    return (entropies * others).sum() / others.sum()
