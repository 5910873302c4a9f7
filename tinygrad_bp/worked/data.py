"""The two data sets of the examples, as scikit-learn has them: ``pip install "tinygrad_bp[data]"``."""

from __future__ import annotations

import importlib
from typing import Any, NamedTuple

import numpy as np


class Split(NamedTuple):
    """Samples to learn from and samples to test with: features (n, features) and one-hot classes (n, classes)."""

    x: Any
    target: Any
    test_x: Any
    test_target: Any


def split(x: Any, classes: Any, training: int, rng: Any) -> Split:
    """So many samples, drawn at random, to learn from, and the others for the test.

    >>> split(np.arange(3.0).reshape(3, 1), [0, 1, 0], training=2, rng=0)
    Split(x=array([[2.],
           [0.]]), target=array([[1., 0.],
           [1., 0.]]), test_x=array([[1.]]), test_target=array([[0., 1.]]))
    """
    order = np.random.default_rng(rng).permutation(len(x))
    target = np.eye(int(np.max(classes)) + 1)[classes]
    first, rest = order[:training], order[training:]
    return Split(x[first], target[first], x[rest], target[rest])


def iris(rng: Any = 0) -> Split:
    """Fisher's iris data: 4 lengths in cm and 3 species, 100 flowers to learn from and 50 to test with.

    Raises ``ImportError`` without scikit-learn.
    """
    return split(*_load("load_iris"), 100, rng)


def digits(rng: Any = 0) -> Split:
    """Handwritten digits of 8 x 8 pixels from 0 to 1: 1437 to learn from and 360 to test with.

    Raises ``ImportError`` without scikit-learn.
    """
    x, classes = _load("load_digits")
    return split(x / 16, classes, 1437, rng)


def _load(name: str) -> tuple[Any, Any]:
    try:
        datasets = importlib.import_module("sklearn.datasets")
    except ImportError as error:
        raise ImportError('the iris data and the digits come with scikit-learn: pip install "tinygrad_bp[data]"') from error
    x, classes = getattr(datasets, name)(return_X_y=True)
    return x, classes
