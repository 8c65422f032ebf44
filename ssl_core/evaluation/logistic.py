"""Logistic regression for a whole grid of weight decays at once: multinomial, or one for each of several labels.

minimise  mean cross-entropy + weight_decay / 2 x |W|^2   (the bias is not decayed)

by full-batch L-BFGS (Liu & Nocedal, 1989, doi:10.1007/BF01589116), preconditioned. Where all logits are equal the
Hessian is (I - 11'/C)/C (x) X'X/N + weight_decay I: of the form that bounds it everywhere (Böhning, 1992,
doi:10.1007/BF00048682, with I/2 for I/C). In the principal axes of X its inverse is one number for each axis and weight
decay, and L-BFGS starts from that instead of from a multiple of I: representations of a low effective rank, whose axes
differ by many orders of magnitude, then take tens of iterations, not hundreds. With a sigmoid for each of several
labels the cross-entropy is the sum of theirs, and the Hessian I/4 (x) X'X/N + weight_decay I there, the bound too.

Shapes: N images, D dimensions, R axes (with one for the bias), K weight decays, C classes; `targets` is [R, 1, C], or
where each fit has its own, [R, K, C].
Float32 but for the loss, and for few images, whose gradients float32 soon rounds to noise; on a CPU the same inputs
give the same bits.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

TOLERANCE = 1e-6
"""Of g' P g / loss, with the preconditioner P: about twice the share of the loss that a Newton step would still gain.

A share, because few images with a weak decay have a loss of thousandths.
"""

ITERATIONS = 500
MEMORY = 10
HALVINGS = 20
FEW = 8192
"""So many images or fewer are few."""
ROWS = 1024
"""Images at a time: their logits stay in a core's cache, and those of many classes take little memory."""
Link = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Of logits [K, C, n] the part of the losses [K, n] that does not ask for the labels, and the probabilities.

With the images last, as exponentials are fast along what lies in a row, and classes may be ten.
"""


def solve(x: Tensor, labels: Tensor, classes: int, weight_decays: Sequence[float]) -> tuple[Tensor, Tensor]:
    """Weights [K, C, D] and biases [K, C], float32, of centred representations float32 [N, D] and labels int64 [N]."""
    axes, z = _in_axes(x)
    # Z'Y/N, with Y the labels as indicators.
    targets = z.new_zeros(classes, z.shape[1]).index_add_(0, labels, z).T / len(z)
    return _solved(axes, z, targets[:, None], weight_decays, classes, softmax)


def solve_each(x: Tensor, labels: Tensor, weight_decays: Sequence[float]) -> tuple[Tensor, Tensor]:
    """The same of several labels an image, [N, L] of 0 and 1: a logistic regression for each, none waits for another.

    One that all images have, or none, has no weights: its bias says so, but for half an image.
    """
    axes, z = _in_axes(x)
    has, fits = labels.to(z), len(weight_decays)
    weights = x.new_zeros(fits, has.shape[1], x.shape[1])
    biases = ((has.sum(dim=0) + 0.5) / (len(has) + 1)).logit().float().repeat(fits, 1)
    told = (has > 0).any(dim=0) & (has == 0).any(dim=0)
    targets = (z.T @ has[:, told] / len(z)).repeat(1, fits)[:, :, None]
    decays = [decay for decay in weight_decays for _ in range(int(told.sum()))]
    if not decays:
        return weights, biases
    w, b = _solved(axes, z, targets, decays, 4, sigmoid)
    weights[:, told], biases[:, told] = w.view(fits, -1, w.shape[2]), b.view(fits, -1)
    return weights, biases


def _in_axes(x: Tensor) -> tuple[Tensor, Tensor]:
    """The principal axes [D, R - 1], and the images in them and in one for the bias, [N, R]."""
    # 15 images of 1,280 dimensions in float32: 500 iterations of 17 steps each, and not at the minimum; so 150 of 1.4.
    x = x.double() if len(x) <= FEW else x
    axes = principal_axes(x)
    return axes, torch.cat([x @ axes, x.new_ones(len(x), 1)], dim=1)


def _solved(
    axes: Tensor, z: Tensor, targets: Tensor, weight_decays: Sequence[float], flatness: int, link: Link
) -> tuple[Tensor, Tensor]:
    """Weights and biases; `flatness`: one over the curvature of the loss where all logits are equal.

    `targets`: [R, 1, C], or of each weight decay its own, [R, K, C].
    """
    decay = z.new_tensor(weight_decays).expand(z.shape[1], -1).clone()
    decay[-1] = 0
    scale = 1 / (z.square().mean(dim=0)[:, None] / flatness + decay)
    w = _minimise(z, targets, decay[:, :, None], scale[:, :, None], link)
    return torch.einsum("dr,rkc->kcd", axes, w[:-1]).float(), w[-1].float()


def softmax(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Of one class of several."""
    log_p = logits.log_softmax(dim=1)
    return logits[:, 0] - log_p[:, 0], log_p.exp_()


def sigmoid(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Of each label by itself."""
    return F.softplus(logits).sum(dim=1), logits.sigmoid()


def principal_axes(x: Tensor) -> Tensor:
    """Orthonormal [D, min(N, D)]; where the images are few, of the space that they span, where the weights then lie."""
    if len(x) < x.shape[1]:
        span = torch.linalg.qr(x.T).Q
        return span @ principal_axes(x @ span)
    return torch.linalg.eigh(x.T @ x / len(x)).eigenvectors


class _Point(NamedTuple):
    """Where the fits stand: weights [R, K, C], losses float64 [1, K, 1] and gradients [R, K, C]."""

    w: Tensor
    loss: Tensor
    gradient: Tensor


def _minimise(z: Tensor, targets: Tensor, decay: Tensor, scale: Tensor, link: Link) -> Tensor:
    """The solutions [R, K, C]; a weight decay leaves when its fit has converged, and the others go on without it."""
    point = _evaluate(z, targets, z.new_zeros(*decay.shape[:2], targets.shape[2]), decay, link)
    solution, left = point.w.clone(), torch.arange(decay.shape[1], device=z.device)
    pairs: list[tuple[Tensor, Tensor]] = []
    for _ in range(ITERATIONS):
        moved = _search(z, targets, decay, point, _direction(point.gradient, scale, pairs), link)
        pairs = [*pairs, (moved.w - point.w, moved.gradient - point.gradient)][-MEMORY:]
        point = moved
        solution[:, left] = point.w
        going = (_dot(point.gradient, scale * point.gradient) > TOLERANCE * point.loss).flatten()
        # No step lowered the loss: it is as low as rounding lets it be seen.
        going &= pairs[-1][0].any(dim=2).any(dim=0)
        if not going.any():
            break
        if not going.all():
            left, decay, scale = left[going], decay[:, going], scale[:, going]
            targets = targets[:, going] if targets.shape[1] > 1 else targets
            point = _Point(*(part[:, going] for part in point))
            pairs = [(s[:, going], y[:, going]) for s, y in pairs]
    return solution


def _direction(gradient: Tensor, scale: Tensor, pairs: list[tuple[Tensor, Tensor]]) -> Tensor:
    """Minus the gradient times L-BFGS's inverse Hessian (two-loop recursion) that starts from `scale`, all [R, K, C].

    A pair without curvature, which float32's rounding can make, counts for nothing.
    """
    curvatures = [_dot(s, y) for s, y in pairs]
    inverses = [torch.where(curvature > 0, 1 / curvature, 0.0) for curvature in curvatures]
    parts, d = [], -gradient
    for (s, y), inverse in zip(reversed(pairs), reversed(inverses), strict=True):
        parts.append(inverse * _dot(s, d))
        d = d - parts[-1] * y
    d = scale * d
    if pairs:
        _, y = pairs[-1]
        d = d * torch.where(curvatures[-1] > 0, curvatures[-1] / _dot(y, scale * y), 1.0)
    for (s, y), inverse, part in zip(pairs, inverses, reversed(parts), strict=True):
        d = d + (part - inverse * _dot(y, d)) * s
    return d


def _search(z: Tensor, targets: Tensor, decay: Tensor, point: _Point, direction: Tensor, link: Link) -> _Point:
    """The first of the steps 1, 1/2, 1/4 ... that lowers the loss enough, of each weight decay (Armijo's rule).

    Where none does, the point itself.
    """
    step, slope = torch.ones_like(point.loss), _dot(point.gradient, direction)
    moved = _evaluate(z, targets, point.w + direction, decay, link)
    for _ in range(HALVINGS):
        # The last term is what float32 cannot tell: without it no step near the minimum would do.
        enough = moved.loss <= point.loss + 1e-4 * step * slope + 1e-7 * point.loss
        if enough.all():
            return moved
        step = torch.where(enough, step, step / 2)
        moved = _evaluate(z, targets, point.w + step.to(direction.dtype) * direction, decay, link)
    lower = moved.loss <= point.loss
    return _Point(*(torch.where(lower, new, old) for new, old in zip(moved, point, strict=True)))


def _evaluate(z: Tensor, targets: Tensor, w: Tensor, decay: Tensor, link: Link) -> _Point:
    """Losses and gradients at w; the labels' own logits are linear in w, so that `targets` is all that they give."""
    loss = z.new_zeros(1, w.shape[1], 1, dtype=torch.float64)
    rows = w.flatten(1).T.contiguous()
    gradient = torch.zeros_like(rows)
    for some in z.split(ROWS):
        without_labels, p = link((rows @ some.T).view(*w.shape[1:], -1))
        loss += without_labels.sum(dim=1, dtype=torch.float64)[:, None]
        gradient.addmm_(p.flatten(0, 1), some)
    loss = loss / len(z) + _dot(w.double(), decay * w / 2 - targets)
    return _Point(w, loss, gradient.T.reshape(w.shape) / len(z) + decay * w - targets)


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """Inner products [1, K, 1] of each weight decay's own [R, C]."""
    return (a * b).sum(dim=(0, 2), keepdim=True)
