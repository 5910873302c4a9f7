"""Functions defined by others: their values are NumPy's own, and their derivatives of two orders those of differences."""

import inspect
import warnings

import numpy as np
import pytest

import tinygrad_bp as tg
from tinygrad_bp import Tensor
from tinygrad_bp.errors import NoRuleError
from tinygrad_bp.rule import COMPOSED

rng = np.random.default_rng(0)


def r(*shape):
    return rng.normal(size=shape)


def spd(n):
    a = r(n, n)
    return a @ a.T + n * np.eye(n)


HOLES = np.where(np.eye(3, 4) > 0, np.nan, r(3, 4))
HOLES.setflags(write=False)

CASES = [
    (np.concatenate, lambda a, b: np.concatenate([a, b], 1), (r(2, 3), r(2, 2))),
    (np.concatenate, lambda a, b: np.concatenate([a, b], None), (r(2, 3), r(2, 2))),
    (np.stack, lambda a, b: np.stack([a, b], -1), (r(2, 3), r(2, 3))),
    (np.vstack, lambda a, b: np.vstack([a, b]), (r(3), r(2, 3))),
    (np.hstack, lambda a, b: np.hstack([a, b]), (r(3), r(2))),
    (np.hstack, lambda a, b: np.hstack([a, b]), (r(2, 3), r(2, 1))),
    (np.dstack, lambda a, b: np.dstack([a, b]), (r(3), r(3))),
    (np.column_stack, lambda a, b: np.column_stack([a, b]), (r(3), r(3, 2))),
    (np.append, np.append, (r(3), r(3, 2))),
    (np.array_split, lambda a: np.array_split(a, 3, axis=1)[1], (r(2, 7),)),
    (np.array_split, lambda a: np.array_split(a, [2, 2, 5])[2], (r(7),)),
    (np.split, lambda a: np.split(a, 2)[1], (r(4, 2),)),
    (np.hsplit, lambda a: np.hsplit(a, 2)[1], (r(4, 2),)),
    (np.vsplit, lambda a: np.vsplit(a, 2)[1], (r(4, 2),)),
    (np.dsplit, lambda a: np.dsplit(a, 2)[1], (r(4, 2, 2),)),
    (np.ravel, np.ravel, (r(2, 3),)),
    (np.squeeze, np.squeeze, (r(2, 1, 3, 1),)),
    (np.squeeze, lambda a: np.squeeze(a, axis=1), (r(2, 1, 3, 1),)),
    (np.moveaxis, lambda a: np.moveaxis(a, 0, -1), (r(2, 3, 4),)),
    (np.moveaxis, lambda a: np.moveaxis(a, (0, 1), (-1, 0)), (r(2, 3, 4),)),
    (np.rollaxis, lambda a: np.rollaxis(a, 2), (r(2, 3, 4),)),
    (np.matrix_transpose, np.matrix_transpose, (r(2, 3, 4),)),
    (np.fliplr, np.fliplr, (r(2, 3),)),
    (np.flipud, np.flipud, (r(2, 3),)),
    (np.rot90, np.rot90, (r(2, 3),)),
    (np.rot90, lambda a: np.rot90(a, 3), (r(2, 3),)),
    (np.rot90, lambda a: np.rot90(a, 1, (1, 2)), (r(2, 3, 4),)),
    (np.rot90, lambda a: np.rot90(a, -1), (r(2, 3),)),
    (np.rot90, lambda a: np.rot90(a, 4), (r(2, 3),)),
    (np.tile, lambda a: np.tile(a, 2), (r(2, 3),)),
    (np.tile, lambda a: np.tile(a, (2, 1, 3)), (r(2, 3),)),
    (np.tile, lambda a: np.tile(a, (2,)), (r(2, 3),)),
    (np.repeat, lambda a: np.repeat(a, 2), (r(2, 3),)),
    (np.repeat, lambda a: np.repeat(a, [1, 0, 2], axis=1), (r(2, 3),)),
    (np.pad, lambda a: np.pad(a, 1), (r(2, 3),)),
    (np.pad, lambda a: np.pad(a, ((1, 2), (0, 1)), constant_values=3.0), (r(2, 3),)),
    *[(np.pad, lambda a, m=m: np.pad(a, ((1, 2), (2, 1)), mode=m), (r(3, 3),)) for m in ("edge", "reflect", "symmetric", "wrap")],
    (np.broadcast_arrays, lambda a, b: np.broadcast_arrays(a, b)[0], (r(3), r(2, 1))),
    (np.meshgrid, lambda a, b: np.meshgrid(a, b)[0], (r(3), r(2))),
    (np.meshgrid, lambda a, b: np.meshgrid(a, b, indexing="ij")[1], (r(3), r(2))),
    (np.copy, np.copy, (r(3),)),
    (np.real, np.real, (r(3),)),
    (np.take, lambda a: np.take(a, [0, 0, 5]), (r(2, 3),)),
    (np.take, lambda a: np.take(a, [[0, 0], [1, 2]], axis=1), (r(2, 3),)),
    (np.take, lambda a: np.take(a, 1, axis=-1), (r(2, 3),)),
    (np.take_along_axis, lambda a: np.take_along_axis(a, np.array([[0, 2], [1, 1]]), 1), (r(2, 3),)),
    (np.take_along_axis, lambda a: np.take_along_axis(a, np.array([[0, 1, 1]]), 0), (r(2, 3),)),
    (np.take_along_axis, lambda a: np.take_along_axis(a, np.array([[0, 2]]), 1), (r(3, 4),)),
    (np.full_like, lambda a, b: a * np.full_like(a, b), (r(2, 3), r(3))),
    (np.heaviside, np.heaviside, (np.array([-1.0, 3.0, 2.0]), r(3))),
    (np.einsum, lambda a, b: np.einsum("ij,ij->", a, b), (r(1, 4), r(2, 4))),
    (np.einsum, lambda a, b: np.einsum("ij,jk->ik", a, b), (r(2, 1), r(3, 2))),
    (np.compress, lambda a: np.compress([True, False, True], a, axis=1), (r(2, 3),)),
    (np.extract, lambda a: np.extract(np.eye(2) > 0, a), (r(2, 2),)),
    (np.diagonal, np.diagonal, (r(3, 4),)),
    (np.diagonal, lambda a: np.diagonal(a, 1, 2, 0), (r(3, 2, 4),)),
    (np.diagonal, lambda a: np.diagonal(a, -2), (r(3, 4),)),
    (np.trace, np.trace, (r(3, 3),)),
    (np.trace, lambda a: np.trace(a, 1), (r(3, 4),)),
    (np.trace, lambda a: np.trace(a, 0, 1, 2), (r(2, 3, 4),)),
    (np.diag, np.diag, (r(3, 3),)),
    (np.diag, lambda a: np.diag(a, -1), (r(3),)),
    (np.diag, lambda a: np.diag(a, 2), (r(3),)),
    (np.diagflat, np.diagflat, (r(2, 2),)),
    (np.tril, np.tril, (r(3, 3),)),
    (np.tril, lambda a: np.tril(a, -1), (r(2, 3, 4),)),
    (np.triu, lambda a: np.triu(a, 1), (r(3, 3),)),
    (np.sort, np.sort, (r(3, 4),)),
    (np.sort, lambda a: np.sort(a, None), (r(3, 4),)),
    (np.sort, lambda a: np.sort(a, 0), (r(3, 4),)),
    (np.partition, lambda a: np.partition(a, 2), (r(3, 6),)),
    (np.select, lambda a, b: np.select([np.eye(3) > 0, np.ones((3, 3)) > 0], [a, b]), (r(3, 3), r(3, 3))),
    (np.clip, lambda a: np.clip(a, -0.5, 0.5), (r(3, 3),)),
    (np.clip, lambda a: np.clip(a, None, 0.5), (r(3, 3),)),
    (np.clip, lambda a: np.clip(a, min=0.0), (r(3, 3),)),
    (np.clip, lambda a, b: np.clip(a, b, 2), (r(3, 3), r(3))),
    (np.amax, lambda a: np.amax(a, axis=1), (r(3, 3),)),
    (np.amin, np.amin, (r(3, 3),)),
    (np.max, lambda a: np.max(a, (0, 2), keepdims=True), (r(3, 3, 2),)),
    (np.min, lambda a: np.min(a, -1), (r(3, 3, 2),)),
    (np.add.reduce, np.add.reduce, (r(3, 3),)),
    (np.multiply.reduce, np.multiply.reduce, (r(3, 3),)),
    (np.maximum.reduce, np.maximum.reduce, (r(3, 3),)),
    (np.minimum.reduce, lambda a: np.minimum.reduce(a, axis=1), (r(3, 3),)),
    (np.prod, np.prod, (r(3, 3),)),
    (np.prod, lambda a: np.prod(a, 1, keepdims=True), (r(3, 4, 2),)),
    (np.prod, lambda a: np.prod(a, (0, 2)), (r(3, 4, 2),)),
    (np.prod, np.prod, (np.array([1.0, 0.0, 3.0]),)),
    (np.prod, np.prod, (np.array([1.0, 0.0, 0.0]),)),
    (np.cumprod, np.cumprod, (r(5),)),
    (np.cumprod, lambda a: np.cumprod(a, 0), (r(5, 2),)),
    (np.cumprod, np.cumprod, (np.array([1.0, 0.0, 3.0, 0.0, 2.0]),)),
    (np.multiply.accumulate, lambda a: np.multiply.accumulate(a, 0), (r(5, 2),)),
    (np.add.accumulate, np.add.accumulate, (r(5, 2),)),
    (np.cumsum, lambda a: np.cumsum(a, 0), (r(5, 2),)),
    (np.cumsum, lambda a: np.cumsum(a, -1), (r(5, 2),)),
    (np.cumsum, np.cumsum, (r(5, 2),)),
    (np.var, np.var, (r(3, 3),)),
    (np.var, lambda a: np.var(a, axis=0, ddof=1), (r(3, 3),)),
    (np.std, lambda a: np.std(a, (0, 1), keepdims=True), (r(3, 3),)),
    (np.median, np.median, (r(3, 3),)),
    (np.median, lambda a: np.median(a, axis=1), (r(3, 4),)),
    (np.median, lambda a: np.median(a, axis=(0, 1), keepdims=True), (r(3, 4),)),
    (np.average, np.average, (r(3, 3),)),
    (np.average, lambda a, w: np.average(a, axis=0, weights=w), (r(3, 2), abs(r(3)))),
    (np.average, lambda a, w: np.average(a, weights=w), (r(3, 2), abs(r(3, 2)))),
    (np.ptp, np.ptp, (r(3, 3),)),
    (np.nansum, np.nansum, (r(3, 3),)),
    (np.nanmean, lambda a: np.nanmean(a, axis=0), (r(3, 3),)),
    (np.diff, np.diff, (r(3, 5),)),
    (np.diff, lambda a: np.diff(a, 2, 0), (r(4, 2),)),
    (np.diff, lambda a: np.diff(a, append=a[:, :2]), (r(3, 4),)),
    (np.diff, lambda a, b: np.diff(a, axis=0, prepend=b), (r(3, 4), r(1, 4))),
    (np.trapezoid, np.trapezoid, (r(4),)),
    (np.trapezoid, np.trapezoid, (r(2, 4), np.sort(r(4)))),
    (np.trapezoid, lambda y: np.trapezoid(y, dx=0.1, axis=0), (r(2, 4),)),
    (np.dot, np.dot, (r(3), r(3))),
    (np.dot, np.dot, (r(2, 3), r(3, 2))),
    (np.dot, lambda a: np.dot(a, 2.0), (r(2, 3),)),
    (np.dot, np.dot, (r(2, 3), r(4, 3, 2))),
    (np.dot, np.dot, (r(2, 2, 3), r(3))),
    (np.vdot, np.vdot, (r(2, 3), r(2, 3))),
    (np.inner, np.inner, (r(2, 3), r(4, 3))),
    (np.inner, np.inner, (r(3), r(3))),
    (np.outer, np.outer, (r(2), r(3))),
    (np.outer, np.outer, (r(2, 2), r(3))),
    (np.tensordot, np.tensordot, (r(2, 3, 4), r(3, 4, 5))),
    (np.tensordot, lambda a, b: np.tensordot(a, b, ([0, 1], [1, 0])), (r(2, 3, 4), r(3, 2, 5))),
    (np.tensordot, lambda a, b: np.tensordot(a, b, 0), (r(2), r(3))),
    (np.tensordot, lambda a, b: np.tensordot(a, b, (-1, 0)), (r(2, 3), r(3))),
    (np.kron, np.kron, (r(2, 3), r(2, 2))),
    (np.kron, np.kron, (r(3), r(2, 2))),
    (np.cross, np.cross, (r(3), r(3))),
    (np.cross, np.cross, (r(4, 3), r(3))),
    *[(np.convolve, lambda a, b, m=m: np.convolve(a, b, m), (r(5), r(3))) for m in ("full", "same", "valid")],
    *[(np.convolve, lambda a, b, m=m: np.convolve(a, b, m), (r(2), r(4))) for m in ("full", "same", "valid")],
    (np.polyval, np.polyval, (r(4), r(3))),
    (np.linspace, lambda a, b: np.linspace(a, b, 4), (r(), r(2))),
    (np.einsum, lambda a, b: np.einsum("ij,jk->ik", a, b), (r(2, 3), r(3, 4))),
    (np.einsum, lambda a, b: np.einsum("ij,jk", a, b), (r(2, 3), r(3, 4))),
    (np.einsum, lambda a: np.einsum("ii", a), (r(3, 3),)),
    (np.einsum, lambda a, b: np.einsum(a, [0, 1], b, [1, 2], [2, 0]), (r(2, 3), r(3, 4))),
    (np.einsum, lambda a: np.einsum(a, [0, 0]), (r(3, 3),)),
    (np.einsum, lambda a: np.einsum("ii->i", a), (r(3, 3),)),
    (np.einsum, lambda a: np.einsum("ij->ji", a), (r(2, 3),)),
    (np.einsum, lambda a: np.einsum("ij->", a), (r(2, 3),)),
    (np.einsum, lambda a, b: np.einsum("...ij,...jk->...ik", a, b), (r(5, 2, 3), r(3, 4))),
    (np.einsum, lambda a, b: np.einsum("...ij,...jk", a, b), (r(5, 2, 3), r(5, 3, 4))),
    (np.einsum, lambda a, b, c: np.einsum("ij,jk,kl->il", a, b, c), (r(2, 3), r(3, 4), r(4, 2))),
    (np.einsum, lambda a, b, c: np.einsum("i,j,k->kji", a, b, c), (r(2), r(3), r(4))),
    (np.einsum, lambda a, b: np.einsum("ij,kl->k", a, b), (r(2, 3), r(3, 4))),
    (np.einsum, lambda a, b: np.einsum("iij,jk->ik", a, b), (r(2, 2, 3), r(3, 4))),
    (np.einsum, lambda a, b: np.einsum("i,i->i", a, b), (r(3), r(3))),
    (np.einsum, lambda a: np.einsum("iii->i", a), (r(2, 2, 2),)),
    (np.einsum, lambda a, b: np.einsum("...i,...i->...", a, b), (r(1, 4, 3), r(5, 1, 3))),
    (np.linalg.solve, np.linalg.solve, (spd(3), r(3))),
    (np.linalg.solve, np.linalg.solve, (spd(3), r(3, 2))),
    (np.linalg.solve, np.linalg.solve, (np.stack([spd(3), spd(3)]), r(3, 2))),
    (np.linalg.slogdet, lambda a: np.linalg.slogdet(a)[1], (r(3, 3),)),
    (np.linalg.inv, np.linalg.inv, (spd(3),)),
    (np.linalg.det, np.linalg.det, (r(3, 3),)),
    (np.linalg.det, np.linalg.det, (r(2, 3, 3),)),
    (np.linalg.cholesky, np.linalg.cholesky, (spd(3),)),
    (np.linalg.norm, np.linalg.norm, (r(3),)),
    (np.linalg.norm, lambda a: np.linalg.norm(a, axis=1), (r(3, 2),)),
    *[(np.linalg.norm, lambda a, o=o: np.linalg.norm(a, o), (r(3, 2),)) for o in (1, -1, np.inf, -np.inf, "fro")],
    *[(np.linalg.norm, lambda a, o=o: np.linalg.norm(a, o), (r(4),)) for o in (1, -1, np.inf, -np.inf, 2, 3)],
    (np.linalg.norm, lambda a: np.linalg.norm(a, 1, (0, 2), True), (r(3, 2, 4),)),
    (np.linalg.matrix_power, lambda a: np.linalg.matrix_power(a, 5), (r(3, 3) * 0.5,)),
    (np.linalg.matrix_power, lambda a: np.linalg.matrix_power(a, -2), (spd(3),)),
    (np.linalg.matrix_power, lambda a: np.linalg.matrix_power(a, 0), (r(3, 3),)),
    (np.linalg.multi_dot, lambda a, b, c: np.linalg.multi_dot([a, b, c]), (r(2, 3), r(3, 4), r(4, 2))),
    (np.add.outer, np.add.outer, (r(3), r(2, 2))),
    (np.multiply.outer, np.multiply.outer, (r(3), r(2, 2))),
    (np.atleast_2d, np.atleast_2d, (r(3),)),
    (np.atleast_1d, np.atleast_1d, (r(),)),
    (np.atleast_3d, np.atleast_3d, (r(3),)),
    (np.atleast_3d, np.atleast_3d, (r(2, 3),)),
    (np.sinc, np.sinc, (np.array([0.0, 1e-9, 0.3, 0.5, 1.0, -2.7, 5.0]),)),
    (np.roll, lambda a: np.roll(a, 1), (r(2, 3),)),
    (np.roll, lambda a: np.roll(a, (1, 2), (0, 1)), (r(2, 3),)),
    (np.flip, np.flip, (r(2, 3),)),
    (np.flip, lambda a: np.flip(a, (0, 1)), (r(2, 3),)),
    (np.where, lambda a, b: np.where(np.eye(3) > 0, a, b), (r(3, 3), r(3))),
    (np.hypot, np.hypot, (r(3), r(2, 1))),
    (np.remainder, np.remainder, (r(3), np.array([0.7, -0.3, 2.0]))),
    (tg.logsumexp, tg.logsumexp, (r(2, 3),)),
    (tg.logsumexp, lambda a: tg.logsumexp(a, 1, True), (r(2, 3),)),
    (tg.softmax, tg.softmax, (r(2, 3),)),
    (tg.softmax, lambda a: tg.softmax(a, 0), (r(2, 3),)),
    (tg.log_softmax, tg.log_softmax, (r(2, 3),)),
    (tg.gelu, tg.gelu, (r(4),)),
    (tg.elu, tg.elu, (r(4),)),
    (tg.silu, tg.silu, (r(4),)),
    (tg.softplus, tg.softplus, (r(4),)),
    (tg.leaky_relu, tg.leaky_relu, (r(4),)),
    (tg.relu, tg.relu, (r(4),)),
    (np.heaviside, lambda b: np.heaviside(0.0, b), (r(3),)),
    (np.heaviside, np.heaviside, (r(3), r(2, 1))),
    (np.full_like, np.full_like, (r(2, 3), r(3))),
    (np.take_along_axis, lambda a: np.take_along_axis(a, np.array([[2], [0]]), 1), (r(2, 3),)),
    (np.take_along_axis, lambda a: np.take_along_axis(a, np.array([[1, 1, 0]]), 1), (r(2, 3),)),
    (np.nanprod, lambda a: np.nanprod(a, axis=0), (HOLES,)),
    (np.nancumsum, np.nancumsum, (HOLES,)),
    (np.nancumprod, lambda a: np.nancumprod(a, 1), (HOLES,)),
    (np.nanmax, lambda a: np.nanmax(a, 0), (HOLES,)),
    (np.nanmin, lambda a: np.nanmin(a, axis=1, keepdims=True), (HOLES,)),
    (np.nanvar, lambda a: np.nanvar(a, axis=0, ddof=1), (HOLES,)),
    (np.nanstd, lambda a: np.nanstd(a, axis=1, keepdims=True), (HOLES,)),
    (np.quantile, lambda a: np.quantile(a, 0.3), (r(3, 4),)),
    (np.quantile, lambda a: np.quantile(a, [0.0, 0.4, 1.0], axis=1), (r(3, 4),)),
    (np.quantile, lambda a: np.quantile(a, [[0.5, 0.1]], axis=0, keepdims=True), (r(3, 4),)),
    (np.percentile, lambda a: np.percentile(a, 70, axis=(0, 1)), (r(3, 4),)),
    (np.cov, np.cov, (r(3, 5),)),
    (np.cov, np.cov, (r(5),)),
    (np.cov, lambda a: np.cov(a, rowvar=False, bias=True), (r(4, 2),)),
    (np.corrcoef, np.corrcoef, (r(3, 5),)),
    *[(np.correlate, lambda a, b, m=m: np.correlate(a, b, m), (r(5), r(3))) for m in ("full", "same", "valid")],
    *[(np.correlate, lambda a, b, m=m: np.correlate(a, b, m), (r(2), r(4))) for m in ("full", "same", "valid")],
    (np.gradient, np.gradient, (r(5),)),
    (np.gradient, lambda a: np.gradient(a, 0.5, axis=0), (r(4, 2),)),
    (np.gradient, lambda a: np.gradient(a)[1], (r(3, 4),)),
    (np.interp, lambda x, y: np.interp(x, [0.0, 1.0, 3.0], y), (np.array([-1.0, 0.2, 1.7, 2.9, 5.0]), r(3))),
    (np.interp, lambda y: np.interp([-1.0, 0.2, 9.0], [0.0, 1.0, 3.0], y, left=0.0, right=7.0), (r(3),)),
    (np.vecdot, np.vecdot, (r(2, 3), r(3))),
    (np.linalg.vecdot, lambda a, b: np.linalg.vecdot(a, b, axis=0), (r(3, 2), r(3, 2))),
    *[(f, f, (r(2, 3, 4), r(4))) for f in [getattr(np, "matvec", None)] if f],
    *[(f, f, (r(3), r(2, 3, 4))) for f in [getattr(np, "vecmat", None)] if f],
    (np.linalg.matmul, np.linalg.matmul, (r(2, 3), r(3, 2))),
    (np.polyder, np.polyder, (r(4),)),
    (np.polyder, lambda p: np.polyder(p, 2), (r(4),)),
    (np.polyint, np.polyint, (r(3),)),
    (np.vander, np.vander, (r(3),)),
    (np.vander, lambda x: np.vander(x, 4, increasing=True), (r(3),)),
    (np.block, lambda a, b: np.block([[a, b], [b, a]]), (r(2, 2), r(2, 2))),
    (np.block, lambda a, b: np.block([a, b]), (r(2), r(3))),
    (np.delete, lambda a: np.delete(a, 1, 0), (r(3, 2),)),
    (np.delete, lambda a: np.delete(a, [0, -1]), (r(3, 2),)),
    (np.resize, lambda a: np.resize(a, (2, 5)), (r(2, 3),)),
    *[(f, lambda a, f=f: f(a, axis=1)[2], (r(2, 3),)) for f in [getattr(np, "unstack", None)] if f],
    (np.linalg.vector_norm, np.linalg.vector_norm, (r(2, 3),)),
    (np.linalg.vector_norm, lambda a: np.linalg.vector_norm(a, axis=(0, 2), keepdims=True, ord=1), (r(2, 3, 2),)),
    (np.linalg.matrix_norm, np.linalg.matrix_norm, (r(2, 3, 3),)),
    (np.linalg.matrix_norm, lambda a: np.linalg.matrix_norm(a, ord=np.inf), (r(2, 3, 3),)),
    (np.linalg.tensorsolve, np.linalg.tensorsolve, (spd(6).reshape(2, 3, 6), r(2, 3))),
    (np.linalg.tensorinv, lambda a: np.linalg.tensorinv(a, ind=1), (spd(6).reshape(6, 2, 3),)),
    # lists and numbers beside tensors
    (np.cross, lambda a: np.cross(a, [1.0, 2.0, 3.0]), (r(2, 3),)),
    (np.cross, lambda a: np.cross([1.0, 2.0, 3.0], a), (r(3),)),
    (np.heaviside, lambda b: np.heaviside([0.0, 1.0, -2.0, 0.0], b), (r(4),)),
    (np.linspace, lambda a: np.linspace(a, [1.0, 2.0], 3), (r(2),)),
    (np.linspace, lambda b: np.linspace([1.0, 2.0], b, 3, endpoint=False), (r(2),)),
    (np.polyval, lambda p: np.polyval(p, [1.0, 2.0]), (r(3),)),
    (np.polyval, lambda x: np.polyval([1.0, 2.0, 3.0], x), (r(3),)),
    (np.linalg.tensorsolve, lambda a: np.linalg.tensorsolve(a, [1.0, 2.0, 3.0]), (spd(3),)),
    (np.convolve, lambda a: np.convolve(a, 2.0), (r(4),)),
    (np.convolve, lambda a: np.convolve([1.0, 2.0], a), (r(),)),
    (np.vdot, lambda a: np.vdot(a, [1.0, 2.0]), (r(2),)),
    (np.vecdot, lambda a: np.vecdot(a, [1.0, 2.0]), (r(3, 2),)),
    (np.block, lambda a: np.block([[a, 1.0]]), (r(3),)),
    (np.block, lambda a, b: np.block([[a], [b]]), (r(3), r(2, 3))),
    (np.block, lambda a, b: np.block([a, b]), (r(), r(3))),
    (np.block, lambda a: np.block(a), (r(2),)),  # noqa: PLW0108
    (np.gradient, lambda h: np.gradient([1.0, 4.0, 9.0], h), (np.array(0.5),)),
    (np.heaviside, lambda b: np.heaviside([True, False], b), (r(2),)),
    (np.select, lambda a: np.select([[True, False], [True, True]], [a, 1.5]), (r(2),)),
    (np.select, lambda a: np.select([[True, False]], [a], [2.0, 3.0]), (r(2),)),
    (np.trapezoid, lambda y: np.trapezoid(y, np.array([False, True, True])), (r(3),)),
    (np.average, lambda a: np.average(a, axis=(0, 2), weights=np.array([[1.0, 2.0], [3.0, 4.0]])), (r(2, 3, 2),)),
    (np.average, lambda a: np.average(a, axis=(2, 0), weights=np.array([[1.0, 2.0, 3.0]])), (r(3, 2, 1),)),
    (np.average, lambda a: np.average(a, axis=1, weights=[True, False, True]), (r(2, 3),)),
    (np.average, lambda a: np.average(a, weights=[1, 2, 3]), (r(3),)),
    (np.power, lambda a: a ** np.array([True, False]), (r(2),)),
    (np.power, lambda a: a ** np.array([2, 0, 1]), (r(3),)),
    (np.float_power, lambda a: np.float_power(a, np.array([True, False])), (r(2),)),
    # a number as a row of one
    (np.cumsum, lambda a: np.cumsum(a, axis=0), (r(),)),
    (np.cumprod, lambda a: np.cumprod(a, -1), (r(),)),
    (np.repeat, lambda a: np.repeat(a, 2, 0), (r(),)),
    (np.take, lambda a: np.take(a, 0, 0), (r(),)),
    (np.take, lambda a: np.take(a, [0, -1], -1), (r(),)),
    (np.prod, lambda a: np.prod(a, axis=-1), (r(),)),
    (np.tensordot, lambda a, b: np.tensordot(a, b, 0), (r(), r())),
    (np.tensordot, lambda a, b: np.tensordot(a, b, 0), (r(), r(2))),
    *[(np.pad, lambda a, m=m: np.pad(a, 1, mode=m), (r(),)) for m in ("constant", "edge")],
    (np.pad, lambda a: np.pad(a, {1: (1, 2)} if isinstance(a, Tensor) else ((0, 0), (1, 2))), (r(2, 3),)),
    (np.pad, lambda a: np.pad(a, {-2: 1} if isinstance(a, Tensor) else ((1, 1), (0, 0)), mode="edge"), (r(2, 3),)),
    # what an index means to np.take
    (np.take, lambda a: np.take(a, [True, False, True]), (r(3),)),
    (np.take, lambda a: np.take(a, np.array([[True, False]]), axis=1), (r(2, 3),)),
    (np.take, lambda a: a.take(True), (r(3),)),
    (np.take, lambda a: a.take((0, 0)), (r(3),)),
    (np.take, lambda a: a.take((0,)), (r(2, 2),)),
    # infinities, and what is only one
    *[(np.quantile, lambda a, q=q: np.quantile(a, q), (r(4),)) for q in (0.1, 0.5, 0.9, 1)],
    (np.median, np.median, (r(5),)),
    (np.linalg.norm, lambda a: np.linalg.norm(a, -2), (r(4),)),
    (np.linalg.norm, lambda a: np.linalg.norm(a, "fro", (0, 2)), (r(3, 2, 4),)),
    (np.linalg.norm, np.linalg.norm, (r(2, 3, 2),)),
    (np.linalg.norm, lambda a: np.linalg.norm(a, 1, -1, True), (r(3, 2),)),
    (np.interp, lambda y: np.interp([-1.0, 0.5, 2.0], [0.5], y), (r(1),)),
    (np.interp, lambda y: np.interp([-1.0, 0.5, 1.0, 2.0, 3.0], [0.0, 1.0, 1.0, 3.0], y), (r(4),)),
    (np.interp, lambda y: np.interp([-1.0, 0.5, 1.0, 3.0], [0.0, 1.0, 1.0], y), (r(3),)),
    (np.linalg.multi_dot, lambda a, b: np.linalg.multi_dot([a, b]), (r(2, 2, 3), r(2, 3, 2))),
    (np.linalg.multi_dot, lambda a, b, c: np.linalg.multi_dot([a, b, c]), (r(2), r(2, 3), r(3))),
    (np.diff, lambda a: np.diff(a, 0), (r(3),)),
    (np.linalg.outer, np.linalg.outer, (r(2), r(3))),
]


def case_id(case):
    function, _, args = case
    return f"{getattr(function, '__name__', function)}-{'-'.join(str(np.shape(a)) for a in args)}"


@pytest.fixture(params=CASES, ids=[f"{k}-{case_id(case)}" for k, case in enumerate(CASES)])
def case(request):
    _, f, args = request.param
    directions = [np.random.default_rng(k).normal(size=np.shape(a)) for k, a in enumerate(args)]
    return f, args, directions


def slope(f, args, directions, h=1e-6):
    """The central difference of a scalar function along a direction."""
    up, down = (f(*[a + s * h * v for a, v in zip(args, directions, strict=True)]) for s in (1, -1))
    return (up - down) / (2 * h)


def along(gradients, directions):
    return sum(np.sum(g * v) for g, v in zip(gradients, directions, strict=True))


def test_the_value_is_numpys(case):
    f, args, _ = case
    expected = f(*args)
    got = f(*[Tensor(a, requires_grad=True) for a in args])
    assert got.requires_grad
    assert got.shape == np.shape(expected)
    np.testing.assert_allclose(got.numpy(), expected, rtol=1e-12, atol=1e-13)


def test_first_derivatives_both_ways(case):
    f, args, vs = case
    y, pullback = tg.vjp(f, *args)
    u = np.random.default_rng(9).normal(size=np.shape(y))
    expected = slope(lambda *xs: np.sum(u * f(*xs)), args, vs)
    assert along(pullback(u), vs) == pytest.approx(expected, rel=1e-6, abs=1e-6)
    assert np.sum(u * tg.jvp(f, args, vs)[1]) == pytest.approx(along(pullback(u), vs), rel=1e-9, abs=1e-9)


def test_second_derivatives(case):
    f, args, vs = case
    u = np.random.default_rng(9).normal(size=np.shape(f(*args)))
    ws = [np.random.default_rng(20 + k).normal(size=np.shape(a)) for k, a in enumerate(args)]
    first = lambda *xs: along(tg.vjp(f, *xs)[1](u), ws) + 0.0 * np.nansum(xs[0])  # noqa: E731
    assert along(tg.vjp(first, *args)[1](1.0), vs) == pytest.approx(slope(first, args, vs), rel=3e-5, abs=3e-5)


def test_float32_stays_float32(case):
    f, args, _ = case
    tensors = [Tensor(np.asarray(a, np.float32), requires_grad=True) for a in args]
    y = f(*tensors)
    assert y.dtype in (np.float32, f(*[t.numpy() for t in tensors]).dtype)  # numbers in a list beside it are float64
    y.backward(np.ones_like(y.raw))
    assert all(t.grad is None or t.grad.dtype == np.float32 for t in tensors)


ALIASES = {
    np.astype,
    np.conjugate,
    np.nan_to_num,
    np.linalg.matrix_transpose,
    np.linalg.diagonal,
    np.linalg.tensordot,
    np.linalg.cross,
    np.linalg.trace,
}


NAN, INF = np.nan, np.inf
NEW = np.lib.NumpyVersion(np.__version__) >= "2.4.0"  # before, the last of [1, inf, inf] is not a number
EDGES = {  # NumPy answers, with NaN or infinity in it
    "median(t)": (np.median, [[3.0, NAN, 1.0]], [[INF, -INF, 1.0, 2.0]], [[INF, INF, 1.0, 2.0]], [[1e308, 1.5e308, 1.6e308]], [[]]),
    "median(t, axis=1)": (lambda a: np.median(a, axis=1), [[[3.0, NAN, 1.0], [1.0, 2.0, 3.0]]]),
    "median(t, axis=0, keepdims=True)": (lambda a: np.median(a, axis=0, keepdims=True), [[[NAN, 1.0], [2.0, 3.0]]], [np.ones((0, 2))]),
    **{
        f"quantile(t, {q})": (lambda a, q=q: np.quantile(a, q), [[3.0, NAN, 1.0]], [[INF, 1.0, 2.0, -INF]], [[1.0, INF, INF]], [[4.0]])
        for q in (0.0, 0.1, 0.4, 0.5, 0.9, *([1] if NEW else []), [0.2, 0.7], [[0.5], [1.0]])
    },
    "percentile(t, 30, axis=0)": (lambda a: np.percentile(a, 30, axis=0), [[[NAN, 1.0], [2.0, INF], [2.0, 3.0]]]),
    **{
        f"{f.__name__}(t, ddof={ddof})": (lambda a, f=f, ddof=ddof: f(a, ddof=ddof), [[1.0, 2.0, 3.0]], [[1.0]], [[]], [[2.0, 2.0]])
        for f in (np.var, np.std, np.cov)
        for ddof in (1, 3, 5)
    },
    **{
        f"{f.__name__}(t, axis=1, ddof={ddof})": (lambda a, f=f, ddof=ddof: f(a, axis=1, ddof=ddof), [[[1.0, NAN, 3.0], [NAN] * 3]])
        for f in (np.nanvar, np.nanstd)
        for ddof in (0, 1, 2, 4)
    },
    **{f"{f.__name__}(t)": (f, [[NAN, NAN]], [[NAN, INF]], [[-INF, NAN]], [NAN]) for f in (np.nanmax, np.nanmin)},
    **{
        f"{f.__name__}(t, axis=0, keepdims=True)": (lambda a, f=f: f(a, axis=0, keepdims=True), [[[NAN, 2.0], [NAN, NAN]]])
        for f in (np.nanmax, np.nanmin)
    },
    "heaviside(t, 0.5)": (lambda a: np.heaviside(a, 0.5), [[NAN, -INF, INF, 0.0, -0.0]]),
    "matrix_power(t, 0)": (lambda a: np.linalg.matrix_power(a, 0), [[[NAN, 1.0], [INF, 2.0]]]),
    **{f"norm(t, {o})": (lambda a, o=o: np.linalg.norm(a, o), [[]], [[0.0, 2.0]], [[INF, 1.0]]) for o in (None, 0, 1, 2, 3, -1, -2, 0.5)},
    "linspace(t, t, 3)": (lambda a, b: np.linspace(a, b, 3), [[INF, NAN, 1.0, -INF], [1.0, 2.0, INF, -INF]]),
    "resize(t, 3)": (lambda a: a.sum() + np.resize(a, 3), [[]]),
}
REFUSED = {  # NumPy raises
    **{f"quantile(t, {q})": (lambda a, q=q: np.quantile(a, q), [r(3)]) for q in (-0.1, 1.5, NAN, [0.5, 2.0])},
    "percentile(t, -10)": (lambda a: np.percentile(a, -10), [r(3)]),
    **{
        f"take(t, {i})": (lambda a, i=i: a.take(i), [r(3)], [r(2, 2)])
        for i in (None, ..., slice(None), (None, 0), 9, -9, "a", np.array([0.0]))
    },
    "take(t, 0, 1)": (lambda a: np.take(a, 0, 1), [r(3)], [r()]),
    "take_along_axis(t, mask)": (lambda a: np.take_along_axis(a, np.array([True, False, True]), 0), [r(3)]),
    "take_along_axis(t, row)": (lambda a: np.take_along_axis(a, np.array([0]), 0), [r(3, 3)]),
    **{f"compress({c}, t)": (lambda a, c=c: np.compress(c, a), [r(3)]) for c in (True, 1, None, [[True, False]])},
    "cross(t, t)": (np.cross, [r(4), r(4)], [r(3), r(4)], [r(), r(3)]),
    "vdot(t, t)": (np.vdot, [r(3), r(1)], [r(2, 2), r(2)], [r(3), r()]),
    "vecdot(t, t)": (np.vecdot, [r(2, 3), r(2, 1)], [r(1), r(3)], [r(), r()]),
    "outer(t, t)": (np.linalg.outer, [r(2, 2), r(3)], [r(3), r()]),
    "multi_dot(t, t)": (lambda a, b: np.linalg.multi_dot([a, b, a]), [r(2, 2, 2), r(2, 2)], [r(2, 2), r(2)]),
    "multi_dot(t)": (lambda a: np.linalg.multi_dot([a]), [r(2, 2)]),
    "tensordot(t, t, 1)": (lambda a, b: np.tensordot(a, b, 1), [r(), r()], [r(3), r(2)]),
    "tensordot(t, t, (0, 1))": (lambda a, b: np.tensordot(a, b, (0, 1)), [r(3), r(3)]),
    "tensordot(t, t, ([0, 1], [1, 0]))": (lambda a, b: np.tensordot(a, b, ([0, 1], [1, 0])), [r(2, 3), r(2, 3)], [r(6), r(6)]),
    **{f"interp(t, {p})": (lambda y, p=p: np.interp([0.5], p, y), [r(3)]) for p in ([0.0, 1.0], [0.0], [], [[0.0, 1.0, 2.0]])},
    **{f"matrix_power(t, {n})": (lambda a, n=n: np.linalg.matrix_power(a, n), [r(3)], [r(2, 3)], [r()]) for n in (0, 1, 2, -1)},
    "matrix_power(t, 0.5)": (lambda a: np.linalg.matrix_power(a, 0.5), [r(2, 2)]),
    "average(t, weights=t)": (lambda a, w: np.average(a, weights=w), [r(2), np.array([1.0, -1.0])], [r(2, 3), r(2)]),
    "average(t, 0, t)": (lambda a, w: np.average(a, 0, w), [r(2, 2), np.zeros((2, 2))], [r(2, 3), r(3)], [r(2, 3), r(2, 1)]),
    **{f"norm(t, {o})": (lambda a, o=o: np.linalg.norm(a, o), [r(2, 2, 2)], [r()]) for o in (0, 1, 2, -1, 3, INF)},
    "norm(t, axis=0)": (lambda a: np.linalg.norm(a, axis=0), [r()]),
    "norm(t, axis=(0, 1, 2))": (lambda a: np.linalg.norm(a, axis=(0, 1, 2)), [r(2, 2, 2)]),
    "norm(t, axis=(0, 0))": (lambda a: np.linalg.norm(a, axis=(0, 0)), [r(2, 2)]),
    "norm(t, 'x')": (lambda a: np.linalg.norm(a, "x"), [r(2)], [r(2, 2)]),
    "norm(t, 3)": (lambda a: np.linalg.norm(a, 3), [r(2, 2)]),
    **{f"{f.__name__}(t, -1)": (lambda a, f=f: f(a, -1), [r(3)]) for f in (np.diff, np.polyder, np.polyint, np.vander)},
    "diff(t)": (np.diff, [r()]),
    "gradient(t)": (np.gradient, [r(1)], [r(3, 1)], [r(0)]),
    "vander(t)": (np.vander, [r(2, 2)], [r()]),
    "vander(t, 1.5)": (lambda a: np.vander(a, 1.5), [r(2)]),
    "convolve(t, [])": (lambda a: np.convolve(a, []), [r(2)]),
    "convolve(t, t)": (np.convolve, [r(0), r(2)], [r(2, 2), r(2)]),
    "convolve(t, mode='f')": (lambda a: np.convolve(a, a, mode="other"), [r(2)]),
    "correlate(t, [])": (lambda a: np.correlate(a, []), [r(2)]),
    "einsum('ii->i', t)": (lambda a: np.einsum("ii->i", a), [r(1, 3)], [r(3, 1)], [r(2, 3)]),
    "einsum('ii', t)": (lambda a: np.einsum("ii", a), [r(1, 3)]),
    "moveaxis(t, 0, 0)": (lambda a: np.moveaxis(a, 0, 0), [r()]),
    "rot90(t)": (np.rot90, [r(3)]),
    "rot90(t, 0, (0, 0))": (lambda a: np.rot90(a, 0, (0, 0)), [r(3, 3)]),
    "vsplit(t, 1)": (lambda a: np.vsplit(a, 1), [r(3)]),
    "dsplit(t, 1)": (lambda a: np.dsplit(a, 1), [r(3, 3)]),
    "hsplit(t, 1)": (lambda a: np.hsplit(a, 1), [r()]),
    "block(t)": (lambda a: np.block([[a], a]), [r(3)]),
    "block(t, [])": (lambda a: np.block([[a], []]), [r(3)]),
    "pad(t, -1)": (lambda a: np.pad(a, -1), [r()], [r(3)]),
    "pad(t, 1.5)": (lambda a: np.pad(a, 1.5), [r()], [r(3)]),
    "tensorsolve(t, list)": (lambda a: np.linalg.tensorsolve(a, [1.0, 2.0]), [r(2, 3)], [r(3, 3)]),
    "diag(t)": (np.diag, [r()], [r(2, 2, 2)]),
    "concatenate(t, t)": (lambda a, b: np.concatenate([a, b]), [r(), r()], [r(2), r()]),
    "hstack(t, 1.0)": (lambda a: np.hstack([a, 1.0]), [r(2, 2)]),
    "add.accumulate(t)": (np.add.accumulate, [r()]),
    "matvec(t, t)": (getattr(np, "matvec", np.linalg.outer), [r(), r(3)]),
}


def each(calls):
    return [pytest.param(f, args, id=f"{name}-{k}") for name, (f, *argss) in calls.items() for k, args in enumerate(argss)]


def answer(f, args):
    """What a call gives, and whether it warns of it."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        return f(*args), any(issubclass(w.category, RuntimeWarning) for w in caught)


@pytest.mark.parametrize(("f", "args"), each(EDGES))
def test_where_there_is_no_number_numpys_answer_is_given(f, args):
    arrays = [np.array(a, float) for a in args]
    expected, warned = answer(f, arrays)
    got, also = answer(f, [Tensor(a, requires_grad=True) for a in arrays])
    assert got.shape == np.shape(expected)
    np.testing.assert_allclose(got.numpy() if isinstance(got, Tensor) else got, expected, rtol=1e-12)
    assert also or not warned or not np.isnan(expected).any()


def test_a_warning_points_at_the_line_that_is_to_blame():
    for f in (np.nanmax, np.nanmin, np.nanvar):
        with pytest.warns(RuntimeWarning, match=f"{f.__name__} of n") as caught:
            f(Tensor([NAN, NAN], requires_grad=True))
        assert {w.filename for w in caught} == {__file__}


@pytest.mark.parametrize(("f", "args"), each(REFUSED))
def test_what_numpy_refuses_is_refused(f, args):
    with pytest.raises(Exception) as theirs:  # noqa: PT011  (any: it is what is compared)
        f(*args)
    with pytest.raises(theirs.type):
        f(*[Tensor(a, requires_grad=True) for a in args])


def test_a_refusal_says_of_which_call_it_is():
    t = Tensor([1.0, 2.0], requires_grad=True)
    for call, note in (
        (lambda: np.diff(t, -1), "diff(array of shape (2,), n=-1, axis=-1)"),
        (lambda: np.vsplit(t, [1]), "vsplit(array of shape (2,), indices_or_sections=[1])"),
        (lambda: np.linalg.multi_dot([t]), "multi_dot(array of shape (2,))"),
    ):
        for _ in range(2):  # nothing is remembered of a refusal
            with pytest.raises(ValueError) as caught:  # noqa: PT011  (NumPy's words)
                call()
            assert caught.value.__notes__ == [f"{note} cannot be computed."]


def test_every_definition_of_a_numpy_function_has_a_case():
    tested = {function for function, _, _ in CASES} | ALIASES
    numpys = [f for f in COMPOSED if not isinstance(f, tuple) and getattr(f, "__module__", "numpy").startswith("numpy")]
    assert [f.__name__ for f in numpys if f not in tested] == ["ediff1d"] * (np.ediff1d in COMPOSED)


def test_zeros_in_products_keep_their_gradients():
    np.testing.assert_array_equal(tg.grad(np.prod)(np.array([2.0, 0.0, 3.0])), [0.0, 6.0, 0.0])
    np.testing.assert_array_equal(tg.grad(np.prod)(np.array([2.0, 0.0, 0.0])), [0.0, 0.0, 0.0])
    np.testing.assert_array_equal(tg.grad(lambda x: np.sum(np.cumprod(x)))(np.array([2.0, 0.0, 3.0])), [1.0, 8.0, 0.0])


def test_ties_share_and_kinks_are_flat():
    np.testing.assert_allclose(tg.grad(np.max)(np.array([1.0, 3.0, 3.0])), [0.0, 0.5, 0.5])
    np.testing.assert_allclose(tg.grad(lambda x: np.maximum(x, 3.0))(3.0), 0.5)
    assert tg.grad(np.abs)(0.0) == 0.0
    assert tg.grad(tg.relu)(0.0) == 0.0
    assert tg.grad(lambda x: np.clip(x, 0.0, 1.0))(1.0) == 1.0
    np.testing.assert_array_equal(tg.grad(np.linalg.norm)(np.zeros(3)), np.zeros(3))


@pytest.mark.parametrize("told", [True, False])
def test_an_argument_without_name_is_never_dropped(told, monkeypatch):
    if not told:  # NumPy 2.3 does not tell the parameters of what is written in C
        monkeypatch.setattr("tinygrad_bp.tensor.parameter_names", lambda function: ())
    a = np.arange(4.0).reshape(2, 2)
    t = Tensor(a, requires_grad=True)
    np.testing.assert_array_equal(np.concatenate([t, t], 1).numpy(), np.concatenate([a, a], 1))
    np.testing.assert_array_equal(np.add.reduce(t, 1).numpy(), np.add.reduce(a, 1))
    with pytest.raises(NoRuleError, match=r"the rule of dot (covers|does not cover)"):
        np.dot(t, t, np.zeros((2, 2)))


def test_options_that_a_definition_does_not_know_are_refused():
    x = Tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(NoRuleError, match="does not cover the option where="):
        np.var(x, where=[True, False])
    with pytest.raises(NoRuleError, match="takes the modes constant, edge"):
        np.pad(x, 1, mode="linear_ramp")
    with pytest.raises(NoRuleError, match="with respect to the points xp"):
        np.interp(0.5, x, [3.0, 4.0])
    with pytest.raises(NoRuleError, match="takes ord None, 'fro'"):
        np.linalg.norm(np.outer(x, x), 2)
    np.testing.assert_array_equal(np.diff(x, prepend=0.5).numpy(), [0.5, 1.0])
    with pytest.raises(ValueError, match="names 2 operands; got 1"):
        np.einsum("i,i->", x)
    with pytest.raises(ValueError, match=r"do not split into 3 equal parts; use np\.array_split"):
        np.split(np.concatenate([x, x]), 3)


SHARED = {"diagonal", "trace", "tensordot"}  # one definition, two functions whose keyword-only options differ


def test_positional_options_mean_what_they_mean_in_numpy():
    """The third argument of np.prod is dtype: a definition that took it for keepdims would be wrong in silence."""
    for function, definition in COMPOSED.items():
        if isinstance(function, tuple):
            if function[1] == "outer":
                continue
            theirs = ["array", "axis", "dtype", "out"]
        elif isinstance(function, np.ufunc):
            continue
        else:
            try:
                theirs = [
                    p.name
                    for p in inspect.signature(function).parameters.values()
                    if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
                ]
            except ValueError:
                continue
        ours = [
            p.name
            for p in inspect.signature(definition).parameters.values()
            if p.kind == p.POSITIONAL_OR_KEYWORD and p.default is not p.empty
        ]
        for name in ours if getattr(function, "__name__", "") not in SHARED else ():
            assert theirs.index(name) == list(inspect.signature(definition).parameters).index(name), (function, name)
    x = Tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    for call in (lambda: np.prod(x, 0, np.float32), lambda: np.var(x, 0, np.float64), lambda: np.cov(x, x), lambda: np.nan_to_num(x, True)):
        with pytest.raises(TypeError):
            call()


@pytest.mark.parametrize("reduce", [np.max, np.min, np.sum, np.nanmax])
def test_a_reduction_of_a_number_over_its_only_axis(reduce) -> None:
    t = Tensor(3.0, requires_grad=True)
    reduce(t, axis=0).backward()
    assert t.grad is not None
    assert t.grad.item() == 1.0
