"""Forms of image input: a path, a folder, an array, a PIL image, a tensor, or a list of them, whole or cropped to boxes."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from snreid.errors import DataError
from snreid.images.files import images_at
from snreid.images.reading import FileImage
from snreid.records import ImageSource

ImageInput = str | Path | NDArray[np.uint8] | Image.Image | torch.Tensor | ImageSource
"""One image, or several of one size as an array or a tensor with a batch dimension, or a folder of images."""
_ONE = (str, Path, np.ndarray, Image.Image, torch.Tensor, ImageSource)


@dataclass(frozen=True, slots=True, eq=False)
class ArrayImage:
    """An image in memory (an ``ImageSource``)."""

    pixels: NDArray[np.uint8]
    """(H, W, 3), RGB."""
    name: str
    """Its name in messages: its position in the input."""

    def read(self) -> NDArray[np.uint8]:
        """The pixels."""
        return self.pixels


def image_sources(images: ImageInput | Sequence[ImageInput], boxes: ArrayLike | None = None) -> list[ImageSource]:
    """The images of a user's input, in order.

    Args:
        images: One of these, or a list of them. An image in memory may have any size; it is resized like a file.

            * a path of an image file, or of a folder: all images in it and its sub-folders, sorted by path;
            * a NumPy array, uint8, RGB, (H, W, 3) or (N, H, W, 3). OpenCV reads BGR: convert with ``frame[..., ::-1]``;
            * a PIL image of any mode;
            * an image of a data set (``Sample.image``);
            * a tensor, RGB, (3, H, W) or (N, 3, H, W), uint8, or floats between 0 and 1.
        boxes: Crops of one image, rows ``(left, top, right, bottom)`` in pixels: (N, 4). They are rounded to
            whole pixels and clipped to the image.

    Raises:
        DataError: The input is of another type, or a box has no pixel inside the image.

    Example:
        >>> import numpy as np
        >>> frame = np.zeros((480, 640, 3), np.uint8)
        >>> [source.read().shape for source in image_sources(frame, boxes=[[10, 20, 50, 120], [600, 0, 700, 90]])]
        [(100, 40, 3), (90, 40, 3)]
    """
    if not isinstance(images, (*_ONE, Sequence)):
        raise _not_an_image("the input", images)
    items: list[ImageInput] = [images] if isinstance(images, _ONE) else list(images)
    named = ["the image" if len(items) == 1 else f"image {number}" for number in range(1, len(items) + 1)]
    sources = [source for item, name in zip(items, named, strict=True) for source in _sources(item, name)]
    if boxes is None:
        return sources
    if len(sources) != 1:
        raise DataError(
            "Boxes are cut out of one image", found=f"{len(sources)} images", fix="call extract once for each frame"
        )
    return _cut(sources[0], boxes)


def _sources(item: ImageInput, name: str) -> Sequence[ImageSource]:
    """The images of one item of the input."""
    if isinstance(item, str | Path):
        return [FileImage(path) for path in images_at([Path(item)]).images]
    if isinstance(item, Image.Image):
        return [ArrayImage(np.asarray(item.convert("RGB")), name)]
    if isinstance(item, torch.Tensor):
        return _of_array(_from_tensor(item, name), name)
    if isinstance(item, np.ndarray):
        return _of_array(item, name)
    if isinstance(item, ImageSource):
        return [item]
    raise _not_an_image(name, item)


def _not_an_image(name: str, given: object) -> DataError:
    return DataError(
        "An image is a path, a folder, an array, a PIL image or a tensor",
        found=f"{name} is of type {type(given).__name__}",
        fix="give one of these, or a list of them",
    )


def _of_array(array: NDArray[np.uint8], name: str) -> list[ImageSource]:
    whole = array.ndim in (3, 4) and array.shape[-1] == 3 and 0 not in array.shape[-3:]
    if not whole or array.dtype != np.uint8:
        fix = "convert it to 8-bit RGB"
        if array.dtype.kind in "OUS":
            fix = "give paths as a list: array.tolist()"
        elif not whole and array.ndim in (3, 4) and array.shape[-3] == 3:
            fix = "give torch.from_numpy(array): tensors have the channels first"
        raise DataError(
            "An array of pixels is uint8, RGB, (H, W, 3) or (N, H, W, 3)",
            found=f"{name} has shape {array.shape} and type {array.dtype}",
            fix=fix,
        )
    if array.ndim == 3:
        return [ArrayImage(array, name)]
    return [ArrayImage(one, f"{name}[{number}]") for number, one in enumerate(array)]


def _from_tensor(tensor: torch.Tensor, name: str) -> NDArray[np.uint8]:
    """A tensor of images with the channels last, as uint8."""
    tensor = tensor.detach().cpu()
    inside = tensor.is_floating_point() and bool(((tensor >= 0) & (tensor <= 1)).all())
    whole = tensor.ndim in (3, 4) and tensor.shape[-3] == 3 and 0 not in tensor.shape[-3:]
    if not whole or not (inside or tensor.dtype == torch.uint8):
        values = f", values {tensor.min():g} to {tensor.max():g}" if tensor.numel() else ""
        last = not whole and tensor.ndim in (3, 4) and tensor.shape[-1] == 3
        raise DataError(
            "A tensor of pixels is RGB, (3, H, W) or (N, 3, H, W), uint8 or floats between 0 and 1",
            found=f"{name} has shape {tuple(tensor.shape)} and type {tensor.dtype}{values}",
            fix="put its channels first: tensor.movedim(-1, -3)"
            if last
            else "give 8-bit pixels, or pixels divided by 255 and not normalized: the model's own mean and std are applied here",
        )
    if inside:
        tensor = (tensor.float() * 255).round().to(torch.uint8)
    return np.ascontiguousarray(tensor.movedim(-3, -1).numpy())


def _cut(source: ImageSource, boxes: ArrayLike) -> list[ImageSource]:
    try:
        rows = np.asarray(boxes, dtype=np.float64)
    except (ValueError, TypeError) as error:  # words, or rows of different lengths
        raise DataError(
            "Boxes are rows (left, top, right, bottom) in pixels", found=str(error), fix="give an array (N, 4)"
        ) from None
    if not rows.size:  # a frame without detections
        return []
    if rows.ndim != 2 or rows.shape[1] != 4 or not np.isfinite(rows).all():
        raise DataError(
            "Boxes are rows (left, top, right, bottom) in pixels",
            found=f"shape {rows.shape}{'' if np.isfinite(rows).all() else ' with NaN or infinity'}",
            fix="give an array (N, 4)",
        )
    pixels = source.read()
    height, width = pixels.shape[:2]
    corners = np.rint(rows).clip(0, (width, height, width, height)).astype(int)
    crops: list[ImageSource] = []
    for number, (left, top, right, bottom) in enumerate(corners.tolist()):
        if left >= right or top >= bottom:
            raise DataError(
                "A box has pixels inside the image",
                found=f"box {number} is {rows[number].tolist()} in {width} x {height} pixels",
                fix="give left < right and top < bottom, and leave out boxes outside the image",
            )
        crops.append(ArrayImage(pixels[top:bottom, left:right], f"box {number} of {source.name}"))
    return crops
