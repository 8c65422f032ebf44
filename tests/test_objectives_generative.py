"""Generative objectives against their formulas, and by their properties."""

import pytest
import torch
import torch.nn.functional as F
from every_objective import SIZE, build

from ssl_core.augmentation import View
from ssl_core.objectives.denoising_autoencoder import DenoisingAutoencoder, DenoisingAutoencoderConfig


def test_denoising_restores_what_it_was_not_shown() -> None:
    objective = build(DenoisingAutoencoderConfig(name="denoising_autoencoder", noise=0.0, masked_share=0.5, patch=4))
    assert isinstance(objective, DenoisingAutoencoder)
    images = torch.ones(64, 3, SIZE, SIZE)
    corrupted = objective.corrupt(images)
    assert corrupted.mean().item() == pytest.approx(0.5, abs=0.05)
    patches = corrupted.unfold(2, 4, 4).unfold(3, 4, 4).flatten(4)
    assert (patches.amin(dim=-1) == patches.amax(dim=-1)).all()
    noisy = build(DenoisingAutoencoderConfig(name="denoising_autoencoder", noise=0.7, masked_share=0.0))
    assert isinstance(noisy, DenoisingAutoencoder)
    assert (noisy.corrupt(images) - images).std().item() == pytest.approx(0.7, abs=0.02)
    torch.manual_seed(0)
    restored = objective.pictures([View(images)])["reconstructions"]
    torch.manual_seed(0)
    torch.testing.assert_close(objective([View(images)])["reconstruction"], F.mse_loss(restored[2], images))


def test_a_share_of_1_is_refused() -> None:
    with pytest.raises(ValueError, match="masked_share"):
        DenoisingAutoencoderConfig(name="denoising_autoencoder", masked_share=1.0)
