"""From an encoded or drawn image to uint8 [size, size, 3]."""

import io

import numpy as np
from PIL import Image, ImageOps

Image.MAX_IMAGE_PIXELS = 200_000_000


def decode(content: bytes | np.ndarray, size: int) -> tuple[np.ndarray, tuple[int, int], bool]:
    """The image as uint8 [size, size, 3], its original (width, height), and whether it is grey.

    EXIF rotation is applied; transparency is laid on white; 16-bit values are divided by 257; grey becomes three equal
    channels. An image of another size is resized so that its shorter side fits (bicubic, antialiased), then its centre
    is taken. Raises `OSError`, `ValueError` or `SyntaxError` where the content is no image or is truncated.
    """
    if isinstance(content, np.ndarray) and content.dtype == np.uint8 and content.shape == (size, size):
        # Nothing to decode or resize, without Pillow in a quarter of the time.
        return content[..., None].repeat(3, axis=2), (size, size), True
    image = Image.fromarray(content) if isinstance(content, np.ndarray) else Image.open(io.BytesIO(content))
    image.load()
    original = image.size
    image = _eight_bit(ImageOps.exif_transpose(image))
    if image.size != (size, size):
        image = ImageOps.fit(image, (size, size), Image.Resampling.BICUBIC)
    pixels = np.asarray(image.convert("RGB"))
    return pixels, original, bool((pixels == pixels[..., :1]).all())


def _eight_bit(image: Image.Image) -> Image.Image:
    """The image in mode L or RGB."""
    if image.mode.startswith("I"):
        values = np.asarray(image).astype(np.int64).clip(0, 65535) // 257
        return Image.fromarray(values.astype(np.uint8))
    if image.mode == "F":
        return image.convert("L")
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        grey = image.mode.startswith(("L", "La"))
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        white.alpha_composite(image)
        return white.convert("L" if grey else "RGB")
    if image.mode in ("1", "L"):
        return image.convert("L")
    return image.convert("RGB")
