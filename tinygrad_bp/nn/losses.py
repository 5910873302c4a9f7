"""What is minimised.

=========================== ================================================== =============================================
loss                        formula                                            output
=========================== ================================================== =============================================
``HalfSquaredError``        1/2 sum (t - y)^2, over outputs and samples        numbers
``MSELoss``                 mean (y - t)^2, over outputs and samples           numbers
``QuadraticCost``           1/(2n) sum over n samples of |t - y|^2             numbers
``BCELoss``                 mean -(t log p + (1 - t) log(1 - p))               probabilities, each of its own question
``BCEWithLogitsLoss``       the same of p = sigmoid(z)                         weighted sums z
``CategoricalCrossEntropy`` mean over samples of -sum t log p                  probabilities of classes
``CrossEntropyLoss``        the same of p = softmax(z)                         weighted sums z
``NLLLoss``                 the same of log p                                  logarithms of probabilities
=========================== ================================================== =============================================

The first three differ by a factor alone: with n samples of m outputs, HalfSquaredError = n QuadraticCost = n m / 2 MSELoss.
The others, which are not the same with output and target exchanged, raise ``GraphError`` where only the target requires a
gradient.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_bp.errors import DtypeError, GraphError, ShapeError
from tinygrad_bp.nn.module import Module
from tinygrad_bp.rule import RULES
from tinygrad_bp.rules import cross_entropy, half_squared_error, half_sum_of_squares, log_softmax, softplus
from tinygrad_bp.tensor import Tensor, record

# called by their rules, as layers are
HALF_SQUARED_ERROR, HALF_SUM_OF_SQUARES, CROSS_ENTROPY = (RULES[f] for f in (half_squared_error, half_sum_of_squares, cross_entropy))
LOG_MIN = -100.0  # where PyTorch cuts logarithms off, so that a probability of 0 costs 100 and not infinity


def compared(output: Any, target: Any) -> tuple[Tensor, Any]:
    """Both, the output as a tensor, if they have one shape; broadcasting one against the other is nearly always a mistake.

    A target of numbers or lists becomes an array; arrays of any library, and tensors, stay as they are.
    """
    known: Tensor = output if isinstance(output, Tensor) else Tensor(output)
    given = target.raw if isinstance(target, Tensor) else (target := array(target))
    if known.raw.shape != given.shape:
        raise ShapeError(
            f"the loss compares an output of shape {known.shape} with a target of shape {target.shape}. "
            "Give both one shape, with .reshape(...)"
        )
    return known, target


def in_order(output: Any, target: Any) -> None:
    """Raise where the two have changed places: a cross-entropy is another one then, and trains all the same."""
    if isinstance(target, Tensor) and target.tracked and not (isinstance(output, Tensor) and output.tracked):
        raise GraphError("the target requires a gradient and the output does not: they have changed places. Write loss(output, target)")


def array(x: Any) -> Any:
    """Numbers and lists as an array; arrays of any library, and tensors, as they are."""
    return x if hasattr(x, "shape") else np.asarray(x)


class HalfSquaredError(Module):
    """Half the sum of squared errors, 1/2 sum (target - output)^2, over all outputs and samples: a scalar.

    Its derivative by an output is -(target - output), without a factor. Equal to ``MSELoss()`` exactly where there
    are two numbers in all, such as two outputs and one sample; to ``QuadraticCost()`` where there is one sample.

    ``output`` and ``target``: one shape, any. ``name`` is what pictures call the loss. With ``parts_name``, such as
    ``"E_o"``, the errors of the outputs, E_o1, E_o2 ..., are a tensor of the graph too, of the shape of ``output``:
    that which ``parts(output, target)`` makes.
    Raises ``ShapeError`` for unequal shapes.

    Source: document "反向传播—BP", step 2.1; document "BP算法讲解", (3-4).

    >>> print(f"{HalfSquaredError()(Tensor([0.75, 0.77]), np.array([0.01, 0.99])):.6f}")
    0.298000
    """

    def __init__(self, name: str = "E_total", parts_name: str | None = None) -> None:
        self.name, self.parts_name = name, parts_name

    def parts(self, output: Any, target: Any) -> Tensor:
        output, target = compared(output, target)
        each: Tensor = record(HALF_SQUARED_ERROR, (target, output))
        each.name = self.parts_name
        return each

    def forward(self, output: Any, target: Any) -> Tensor:
        if self.parts_name is None:
            output, target = compared(output, target)
            total: Tensor = record(HALF_SUM_OF_SQUARES, (target, output))
        else:
            total = self.parts(output, target).sum()
        total.name = self.name
        return total


class QuadraticCost(HalfSquaredError):  # noqa: N818  (the base is no exception)
    """C = 1/(2n) sum over the n samples of |target - output|^2: a scalar, the mean of the samples' half squared errors.

    ``output`` and ``target``: (n, outputs), or (outputs,) for one sample; of more axes the first counts the samples.
    With ``parts_name`` each output's half squared error, before the mean over samples, is in the graph too. Equal to
    ``HalfSquaredError()`` for one sample, and to ``MSELoss()`` for two outputs; m / 2 times ``MSELoss()`` for m.
    Raises ``ShapeError`` for unequal shapes.

    Source: document "反向传播算法（过程及公式推导）", section 2, the quadratic cost function.

    >>> print(f"{QuadraticCost()(Tensor([[0.75, 0.77], [0.01, 0.99]]), np.array([[0.01, 0.99], [0.01, 0.99]])):.6f}")
    0.149000
    """

    def __init__(self, name: str = "C", parts_name: str | None = None) -> None:
        super().__init__(name, parts_name)

    def forward(self, output: Any, target: Any) -> Tensor:
        total = super().forward(output, target)
        if np.ndim(output) <= 1:  # one sample
            return total
        total.name = None
        cost: Tensor = total / len(output)
        cost.name = self.name
        return cost


class Reduced(Module):
    """A loss whose parts, one for each number or sample, are averaged, added up, or left: ``reduction`` as in PyTorch."""

    def __init__(self, reduction: str = "mean") -> None:
        if reduction not in ("mean", "sum", "none"):
            raise ValueError(f'reduction is "mean", "sum" or "none"; got {reduction!r}')
        self.reduction = reduction

    def parts(self, output: Any, target: Any) -> Tensor:
        """The loss of each number or sample, before the reduction."""
        raise NotImplementedError(f"{type(self).__name__} needs a method parts(self, output, target)")

    def forward(self, output: Any, target: Any) -> Tensor:
        each = self.parts(output, target)
        return each if self.reduction == "none" else each.sum() if self.reduction == "sum" else each.mean()

    def extra_repr(self) -> str:
        return f"reduction={self.reduction!r}"


class MSELoss(Reduced):
    """The mean of (output - target)^2 over all elements, or their sum, or none: as PyTorch's.

    ``output`` and ``target``: one shape, any; ``parts`` has it too. The mean over the outputs of one sample is (3-6-1)
    of document "BP算法讲解", that over samples and outputs (3-6-2). Its (3-6-3), with y and ŷ of n outputs by m samples,
    is short of a trace: (y - ŷ)^T (y - ŷ) is an m x m matrix, of which the diagonal has the samples' squared errors,
    and what equals (3-6-2) is 1/(mn) tr((y - ŷ)^T (y - ŷ)).

    Equal to ``HalfSquaredError()`` where there are two numbers in all, to ``QuadraticCost()`` for two outputs; with
    ``"sum"`` twice ``HalfSquaredError()``. Raises ``ShapeError`` for unequal shapes, ``ValueError`` for another
    reduction.

    >>> print(f"{MSELoss()(Tensor([0.75, 0.77]), np.array([0.01, 0.99])):.6f}")
    0.298000
    """

    def parts(self, output: Any, target: Any) -> Tensor:
        output, target = compared(output, target)
        return np.square(output - target)  # type: ignore[no-any-return]


class BCELoss(Reduced):
    """Binary cross-entropy on probabilities: the mean, sum or each of -(t log p + (1 - t) log(1 - p)).

    ``output`` p, numbers in [0, 1], and ``target`` t, 0 or 1 or between: one shape, any; ``parts`` has it too.
    Logarithms end at -100, as in PyTorch, so p = 0 where t = 1 costs 100, with the derivative 0 of what is cut off.
    A sigmoid that has reached 0 or 1 no longer knows how wrong it is: ``BCEWithLogitsLoss`` of its argument does,
    and is the same elsewhere. With two classes and p, 1 - p as their probabilities ``CategoricalCrossEntropy`` is the
    same. Raises ``ShapeError`` for unequal shapes, ``ValueError`` for an output outside [0, 1].

    Source: Bishop 2006, "Pattern Recognition and Machine Learning", (4.90).

    >>> print(f"{BCELoss()(Tensor([0.5, 1.0]), np.array([1.0, 1.0])):.6f}")
    0.346574
    """

    def parts(self, output: Any, target: Any) -> Tensor:
        in_order(output, target)
        p, t = compared(output, target)
        p = _probabilities(p)
        return -(t * _log(p) + (1.0 - t) * _log_of_rest(p))  # type: ignore[no-any-return]


class BCEWithLogitsLoss(Reduced):
    """Binary cross-entropy of sigmoid(z), computed from z: t softplus(-z) + (1 - t) softplus(z), right for every z.

    ``output`` z, any numbers, and ``target`` t, 0 or 1 or between: one shape, any; ``parts`` has it too. Equal to
    ``BCELoss()(sigmoid(z), t)`` as long as the sigmoid is neither 0 nor 1; its derivative is sigmoid(z) - t. Raises
    ``ShapeError`` for unequal shapes.

    Source: Bishop 2006, (4.90) and (4.91).

    >>> print(f"{BCEWithLogitsLoss()(Tensor([0.0, -800.0]), np.array([1.0, 1.0])):.6f}")
    400.346574
    """

    def parts(self, output: Any, target: Any) -> Tensor:
        in_order(output, target)
        z, t = compared(output, target)
        return t * softplus(-z) + (1.0 - t) * softplus(z)  # type: ignore[no-any-return]


class CrossEntropyLoss(Reduced):
    """Cross-entropy of softmax(z), computed from z: for each sample -log p of its class, or -sum t log p.

    ``output`` z: (n, classes), (classes,) for one sample, or (n, classes, ...), as in PyTorch: axis 1 has the classes.
    ``target``: the numbers of the classes, integers from 0, in the shape of ``output`` without that axis; or 0 and 1
    (one-hot) or probabilities t in the whole shape. ``parts``, one per sample, has the shape without classes;
    the mean is that over samples.

    Equal to ``CategoricalCrossEntropy()(softmax(z), t)``, but safe, and to ``NLLLoss()(log_softmax(z), t)``; with two
    classes to ``BCEWithLogitsLoss()`` of z1 - z0. The derivative of a sample's part by z is softmax(z) - t, if the t
    add up to 1. Raises ``ShapeError`` for other shapes, ``DtypeError`` for class numbers that are not integers,
    ``ValueError`` for class numbers that do not exist.

    Source: Bishop 2006, (4.108) and (4.109).

    >>> print(f"{CrossEntropyLoss()(Tensor([[0.0, 0.0], [800.0, 0.0]]), [1, 0]):.6f}")
    0.346574
    """

    def parts(self, output: Any, target: Any) -> Tensor:
        in_order(output, target)
        z = output if isinstance(output, Tensor) else Tensor(output)
        axis, t = _class_axis(z), array(target)
        if t.shape != z.shape:
            t = _one_hot(_classes(z, t, axis), z, axis)
        elif not _adds_up_to_1(t, z.dtype, axis):
            return _expected(log_softmax(z, axis=axis), t)
        return record(CROSS_ENTROPY, (z, t), {"axis": axis})  # type: ignore[no-any-return]


class NLLLoss(Reduced):
    """The negative log likelihood, from logarithms of probabilities: ``CrossEntropyLoss`` after ``LogSoftmax``.

    Shapes, targets and errors are those of ``CrossEntropyLoss``; ``output`` has log p in place of z.

    >>> print(f"{NLLLoss()(Tensor(np.log([[0.5, 0.5], [0.9, 0.1]])), [1, 0]):.6f}")
    0.399254
    """

    def parts(self, output: Any, target: Any) -> Tensor:
        in_order(output, target)
        return _expected(output if isinstance(output, Tensor) else Tensor(output), target)


class CategoricalCrossEntropy(Reduced):
    """Cross-entropy on probabilities of classes, such as those of a network with ``Softmax`` at the end.

    Shapes, targets and errors are those of ``CrossEntropyLoss``; ``output`` has p in place of z, numbers in [0, 1],
    ``ValueError`` otherwise. That they add up to 1 is not checked. Logarithms end at -100, as in ``BCELoss``.
    Equal to ``CrossEntropyLoss`` of the weighted sums before the softmax as long as no p is below e^-100.

    >>> print(f"{CategoricalCrossEntropy()(Tensor([[0.5, 0.5], [0.9, 0.1]]), [1, 0]):.6f}")
    0.399254
    """

    def parts(self, output: Any, target: Any) -> Tensor:
        in_order(output, target)
        p = _probabilities(output if isinstance(output, Tensor) else Tensor(output))
        return _expected(_log(p), target)


def _probabilities(p: Tensor) -> Tensor:
    if np.any(p < 0) or np.any(p > 1):  # not a number passes, and makes the loss one
        raise ValueError("the output has numbers outside [0, 1], which are no probabilities. For weighted sums take the loss on logits")
    return p


def _log(p: Tensor) -> Any:
    """log p, but not below -100."""
    return np.where(p == 0, LOG_MIN, np.maximum(np.log(np.where(p == 0, 1.0, p)), LOG_MIN))


def _log_of_rest(p: Tensor) -> Any:
    """log(1 - p), but not below -100."""
    return np.where(p == 1, LOG_MIN, np.maximum(np.log1p(-np.where(p == 1, 0.0, p)), LOG_MIN))


def _class_axis(output: Tensor) -> int:
    if not output.ndim:
        raise ShapeError("the output of a loss over classes has an axis for them: (n, classes) or (classes,); got a single number")
    return min(1, output.ndim - 1)


def _expected(log_p: Tensor, target: Any) -> Tensor:
    """-log p of the target class, or -sum t log p, for each sample."""
    axis, target = _class_axis(log_p), array(target)
    if target.shape == log_p.shape:
        known = np.where(target == 0, 0.0, log_p)  # 0 log 0 is 0
        return -np.sum(target * known, axis=axis)  # type: ignore[no-any-return]
    classes = _classes(log_p, target, axis)
    index = list(np.ogrid[tuple(slice(n) for n in classes.shape)])
    return -log_p[(*index[:axis], classes, *index[axis:])]


def _classes(output: Tensor, target: Any, axis: int) -> Any:
    """The numbers of the classes, if they are such."""
    samples, count = output.shape[:axis] + output.shape[axis + 1 :], output.shape[axis]
    if target.shape != samples:
        raise ShapeError(
            f"for an output of shape {output.shape} the target has the numbers of the classes in shape {samples}, "
            f"or probabilities in shape {output.shape}; got shape {target.shape}"
        )
    classes = target.raw if isinstance(target, Tensor) else target
    if classes.dtype.kind not in "iu":
        raise DtypeError(f"class numbers are integers; got {classes.dtype}. Probabilities have the output's shape, {output.shape}")
    if np.any(classes < 0) or np.any(classes >= count):
        raise ValueError(f"class numbers of {count} classes go from 0 to {count - 1}; got {classes.min()} to {classes.max()}")
    return classes


def _one_hot(classes: Any, output: Tensor, axis: int) -> Any:
    """1 at each sample's class and 0 elsewhere, in the output's shape."""
    numbers = np.arange(output.shape[axis]).reshape([-1 if i == axis else 1 for i in range(output.ndim)])
    return (np.expand_dims(classes, axis) == numbers).astype(output.dtype)


def _adds_up_to_1(target: Any, dtype: Any, axis: int) -> bool:
    """Whether these are known to be the probabilities of all classes, so that softmax(z) - t is the derivative."""
    raw = target.raw if isinstance(target, Tensor) and not target.tracked else target
    if not isinstance(raw, np.ndarray):
        return False
    return bool(np.all(np.abs(np.sum(raw, axis=axis) - 1) <= 8 * np.finfo(dtype).eps))
