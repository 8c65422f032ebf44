"""Views: batched augmentation with per-image random parameters."""
