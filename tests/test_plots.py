"""Plots: what is drawn is what was computed. Without matplotlib, the error says what to install."""

import importlib.util
import re
import sys

import numpy as np
import pytest

import tinygrad_bp as tg
from docs.make import NEEDED, PICTURES, PLOTS
from tinygrad_bp import nn, optim
from tinygrad_bp.draw import plots

needs_matplotlib = pytest.mark.skipif(importlib.util.find_spec("matplotlib") is None, reason="matplotlib is not installed")
pytestmark = pytest.mark.peers
HISTORY = optim.History(loss=[0.5, 0.3, 0.2], at=[0, 1, 2], accuracy=[0.25, 0.5, 1.0])


@needs_matplotlib
def test_a_learning_curve_is_the_history():
    (ax,) = plots.learning_curves(HISTORY).axes
    (line,) = ax.lines
    np.testing.assert_array_equal(line.get_xydata(), np.column_stack([HISTORY.at, HISTORY.loss]))
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_yscale()) == ("updates", "training loss", "log")


@needs_matplotlib
def test_curves_differ_in_more_than_colour_and_are_named():
    (ax,) = plots.learning_curves({"a": HISTORY, "b": HISTORY, "c": HISTORY}, "accuracy").axes
    assert len({line.get_linestyle() for line in ax.lines}) == len({line.get_color() for line in ax.lines}) == 3
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["a", "b", "c"]
    assert ax.get_yscale() == "linear"


@needs_matplotlib
def test_what_was_not_recorded_is_said():
    with pytest.raises(ValueError, match="ask fit for it"):
        plots.learning_curves(HISTORY, "validation_loss")


@needs_matplotlib
@pytest.mark.parametrize(
    ("function", "derivative"),
    [(tg.sigmoid, lambda x: np.exp(-x) / (1 + np.exp(-x)) ** 2), (np.tanh, lambda x: np.cosh(x) ** -2.0), (nn.ReLU(), lambda x: x > 0)],
)
def test_an_activation_has_its_derivative_beside_it(function, derivative):
    (ax,) = plots.activation(function).axes
    value, slope = (line.get_xydata() for line in ax.lines[:2])
    slope = slope[~np.isnan(slope[:, 1])]
    np.testing.assert_array_equal(value[:, 1], function(value[:, 0]))
    np.testing.assert_allclose(slope[:, 1], derivative(slope[:, 0]), atol=1e-15)
    assert len(slope) == len(value) == 401


@needs_matplotlib
def test_a_kink_breaks_the_line_of_the_derivative_and_no_other():
    broken = [np.isnan(plots.activation(f).axes[0].lines[1].get_ydata()).sum() for f in (tg.relu, tg.sigmoid, np.tanh, tg.softplus)]
    assert broken == [1, 0, 0, 0]


@needs_matplotlib
def test_descent_draws_the_paths_over_the_surface():
    path = np.array([[2.0, 1.0], [1.0, 0.5], [0.5, 0.2]])
    (ax,) = plots.descent(lambda w: np.sum(w**2), {"plain": path}, labels=("w", "b")).axes
    np.testing.assert_array_equal(ax.lines[0].get_xydata(), path)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("w", "b")
    (contours,) = ax.collections
    level, points = contours.levels[-1], contours.get_paths()[-1].vertices
    np.testing.assert_allclose(np.sum(points**2, axis=1), level, rtol=1e-2)
    with pytest.raises(ValueError, match=r"\(updates \+ 1, 2\)"):
        plots.descent(np.sum, {"plain": path.T})


@needs_matplotlib
def test_reconstructions_stand_below_their_originals():
    above, below = np.random.default_rng(0).uniform(size=(2, 3, 64))
    (ax,) = plots.reconstructions(above, below).axes
    picture = ax.images[0].get_array()
    assert picture.shape == (20, 30)
    np.testing.assert_array_equal(picture[1:9, 11:19].ravel(), above[1])
    np.testing.assert_array_equal(picture[11:19, 21:29].ravel(), below[2])
    with pytest.raises(ValueError, match="shape"):
        plots.reconstructions(above, below[:2])


@needs_matplotlib
def test_plots_take_axes_and_leave_settings_alone():
    import matplotlib as mpl
    from matplotlib.figure import Figure

    before, figure = dict(mpl.rcParams), Figure()
    ax = figure.add_subplot()
    images = np.zeros((2, 64))
    for drawn in (
        plots.learning_curves(HISTORY, ax=ax),
        plots.activation(np.tanh, ax=ax),
        plots.descent(np.sum, {"": np.ones((2, 2))}, ax=ax),
        plots.reconstructions(images, images, ax=ax),
    ):
        assert drawn is figure
    assert dict(mpl.rcParams) == before
    assert "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()


@needs_matplotlib
def test_a_notebook_shows_it():
    assert plots.activation(np.tanh)._repr_png_().startswith(b"\x89PNG")


def test_without_matplotlib_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    for plot in (lambda: plots.learning_curves(HISTORY), lambda: plots.activation(np.tanh), plots.activations):
        plots._plot_class.cache_clear()
        with pytest.raises(ImportError, match=r'pip install "tinygrad_bp\[plots\]"'):
            plot()


NUMBER = re.compile(r"-?\d+\.?\d*(?:e-?\d+)?")
VARIABLE = re.compile(r'id="[^"]*"|#\w+|data:image/png;base64,[^"]*|<dc:title>.*?</dc:title>', re.DOTALL)


@pytest.mark.skipif(not all(map(importlib.util.find_spec, NEEDED)), reason="matplotlib or scikit-learn is not installed")
@pytest.mark.parametrize("name", PLOTS)
def test_the_plots_of_the_pages_are_current(name, tmp_path):
    """``python docs/make.py`` makes them anew. Another processor rounds another way, so numbers may differ a little."""
    PLOTS[name]().savefig(tmp_path / "plot.svg", metadata={"Date": None})
    old, new = (VARIABLE.sub("", path.read_text(encoding="utf-8")) for path in (PICTURES / f"{name}.svg", tmp_path / "plot.svg"))
    if re.findall(r"Matplotlib v[\d.]+", old) != re.findall(r"Matplotlib v[\d.]+", new):
        pytest.skip("made by another release of matplotlib")
    assert NUMBER.sub("", old) == NUMBER.sub("", new)
    np.testing.assert_allclose([float(x) for x in NUMBER.findall(new)], [float(x) for x in NUMBER.findall(old)], atol=0.5)
