"""An image on its way in, and the length of a map after pooling: `spec/preprocess.md`, executable.

An image is (H, W, C); the channels are blue, green and red. N images make one input (N, C, H, W).
"""

import numpy as np

from frcnn.reference.arguments import as_array, as_whole

LONGEST = 2**24  # of a side, in pixels or cells
MEAN = (102.9801, 115.9465, 122.7717)  # of ImageNet's blue, green and red, which the networks were pre-trained with


def image_scale(size, short_side=600, longest=1000):
    """The factor by which an image is resized along both sides.

    size: (H, W), whole numbers; image pixels. short_side: what the shorter side becomes.
    longest: what the longer side becomes instead where it would be longer, once rounded.

    Returns a float.
    Raises ValueError or TypeError naming the argument: image-error.size.
    Source: section 4; rbgirshick/fast-rcnn, lib/utils/blob.py:38-41. Clauses: those named below.

    >>> image_scale((375, 500)), image_scale((300, 600))
    (1.6, 1.6666666666666667)
    """
    as_array("size", size)  # lists of unequal lengths have no shape
    if np.shape(size) != (2,):
        raise ValueError(f"size must be (H, W), got {size!r}")
    H, W = (as_whole("size", side, 1, LONGEST) for side in size)  # image-error.size
    short_side, longest = as_whole("short_side", short_side, 1, LONGEST), as_whole("longest", longest, 1, LONGEST)
    scale = short_side / min(H, W)  # image-scale.shorter
    length = np.round(scale * max(H, W))  # image-scale.half: NumPy takes a half to the even neighbour
    if length > longest:  # image-scale.longest
        scale = longest / max(H, W)
    return scale


def subtract_mean(image, mean=MEAN):
    """The image less the mean colour: the first step, before resizing and padding.

    image: (H, W, 3), uint8 or float32; blue, green, red. mean: (3,), float64, or three floats.

    Returns (H, W, 3), float32. The argument is not changed.
    Raises ValueError or TypeError naming the argument: image-error.image, image-error.mean.
    Source: rbgirshick/fast-rcnn, lib/utils/blob.py:33-34. Clauses: image-mean.channels, image-mean.type,
    image-mean.order.

    >>> subtract_mean(np.uint8([[[100, 116, 123]]]), (100.0, 110.5, 125.0)).tolist()
    [[[0.0, 5.5, -2.0]]]
    """
    image, mean = as_array("image", image), as_array("mean", mean)
    if image.ndim != 3 or image.shape[2] != 3:  # image-error.image
        raise ValueError(f"image must have shape (H, W, 3), got {image.shape}")
    if image.dtype.name not in ("uint8", "float32"):
        raise TypeError(f"image must be uint8 or float32, got {image.dtype}")
    if mean.shape != (3,):  # image-error.mean
        raise ValueError(f"mean must have shape (3,), blue, green and red, got {mean.shape}")
    if mean.dtype != np.float64:
        raise TypeError(f"mean must be float64, got {mean.dtype}")
    if not np.isfinite(mean).all():
        raise ValueError(f"mean must be finite, got {mean}")
    with np.errstate(over="ignore", invalid="ignore"):
        return (image.astype(np.float64) - mean).astype(np.float32)  # image-mean.channels, image-mean.type


def pad_images(images):
    """Several images as one input, padded with zeros, which are the mean colour: the last step.

    images: a list of N arrays (H, W, C), or one array (N, H, W, C); float32.

    Returns (N, C, H, W), float32, H the largest height and W the largest width.
    Raises ValueError or TypeError naming the argument and the first offending image: image-error.images.
    Source: rbgirshick/fast-rcnn, lib/utils/blob.py:18-27. Clauses: image-mean.order, image-pad.corner,
    image-pad.layout.

    >>> pad_images([np.ones((1, 2, 1), np.float32), np.ones((2, 1, 1), np.float32)])[:, 0].tolist()
    [[[1.0, 1.0], [0.0, 0.0]], [[1.0, 0.0], [1.0, 0.0]]]
    """
    if not isinstance(images, list | tuple | np.ndarray) or getattr(images, "ndim", 1) == 0:
        raise TypeError(f"images must be a list of images, got {images!r}")
    arrays = [as_array(f"images[{number}]", image) for number, image in enumerate(images)]
    if not arrays:  # image-error.images
        raise ValueError("images must hold one image at least")
    for number, image in enumerate(arrays):
        if image.ndim != 3 or image.shape[2] != arrays[0].shape[2]:
            raise ValueError(f"images[{number}] must have shape (H, W, C), with the C of the first, got {image.shape}")
        if image.dtype != np.float32:
            raise TypeError(f"images[{number}] must be float32, got {image.dtype}; subtract_mean gives that")
    H, W = max(len(image) for image in arrays), max(image.shape[1] for image in arrays)
    padded = np.zeros((len(arrays), arrays[0].shape[2], H, W), np.float32)  # image-pad.corner
    for number, image in enumerate(arrays):
        padded[number, :, : len(image), : image.shape[1]] = image.transpose(2, 0, 1)  # image-pad.layout
    return padded


def pooled_length(n, kernel, stride, pad=0):
    """How many cells a pooling layer of the original makes of n, along one side.

    n: cells that come in. kernel, stride: of the window, in cells. pad: cells added at either end.

    Returns an int.
    Raises ValueError or TypeError naming the argument: image-error.window.
    Source: caffe, src/caffe/layers/pooling_layer.cpp:93-107. Clauses: pooled-length.ceil, pooled-length.last.

    >>> pooled_length(75, 2, 2), pooled_length(2, 2, 2, pad=1)
    (38, 2)
    """
    numbers = (("n", n), ("kernel", kernel), ("stride", stride))
    n, kernel, stride = (as_whole(name, value, 1, LONGEST) for name, value in numbers)
    pad = as_whole("pad", pad, 0, LONGEST)
    if pad >= kernel:  # image-error.window
        raise ValueError(f"pad must be less than kernel, {kernel}, got {pad}")
    windows = -((kernel - n - 2 * pad) // stride) + 1  # pooled-length.ceil
    if (windows - 1) * stride - pad >= n:  # pooled-length.last
        windows -= 1
    if windows < 1:
        raise ValueError(f"kernel must be smaller than {kernel}: no window of it lies on {n} cells padded by {pad}")
    return windows
