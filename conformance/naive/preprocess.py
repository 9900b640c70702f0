"""Images a pixel at a time, and windows laid down one after another."""

from fractions import Fraction

import numpy as np


def image_scale(size, short_side=600, longest=1000):
    """As frcnn.reference.image_scale, for input that is known to be good."""
    shorter, longer = sorted(int(side) for side in size)
    scale = float(Fraction(short_side, shorter))
    length = Fraction(float(Fraction(scale) * longer))
    # To be rounded to more than `longest` the length must be past the half above it, or on it where `longest` is odd.
    beyond = length - longest - Fraction(1, 2)
    if beyond > 0 or (beyond == 0 and longest % 2 == 1):
        return float(Fraction(longest, longer))
    return scale


def subtract_mean(image, mean=(102.9801, 115.9465, 122.7717)):
    """As frcnn.reference.subtract_mean, for input that is known to be good."""
    result = np.empty(image.shape, np.float32)
    for row, column, channel in np.ndindex(*image.shape):
        result[row, column, channel] = float(image[row, column, channel]) - float(mean[channel])
    return result


def pad_images(images):
    """As frcnn.reference.pad_images, for input that is known to be good."""
    H, W = max(image.shape[0] for image in images), max(image.shape[1] for image in images)
    result = np.empty((len(images), images[0].shape[2], H, W), np.float32)
    for number, channel, row, column in np.ndindex(*result.shape):
        image = images[number]
        inside = row < image.shape[0] and column < image.shape[1]
        result[number, channel, row, column] = image[row, column, channel] if inside else 0.0
    return result


def pooled_length(n, kernel, stride, pad=0):
    """As frcnn.reference.pooled_length: windows are added until one holds the last cell, padding counted."""
    starts = [-pad]
    while starts[-1] + kernel < n + pad and starts[-1] + stride < n:
        starts.append(starts[-1] + stride)
    return len(starts)
