"""Books write back-propagation each in its own way: right formulas agree in all of them, and wrong ones differ."""

from __future__ import annotations

import pytest

import tinygrad_bp as tg

NIELSEN = r"""
input x = [0.5, 0.8]
w^2 = [[0.1, 0.4], [-0.3, 0.2], [0.6, -0.5]]
b^2 = [0.1, -0.2, 0.3]
w^3 = [[0.7, -0.5, 0.2], [0.3, 0.9, -0.4]]
b^3 = [0.05, 0.15]
input y = [1, 0]
z^2 = w^2 @ x + b^2
a^2 = sigmoid(z^2)
z^3 = w^3 @ a^2 + b^3
a^3 = sigmoid(z^3)
C = sum((y - a^3)^2) / 2
eta = 0.5
alias a^1 = x
"""
BISHOP = r"""
input x = [0.5, 0.8]
w^{(1)} = [[0.1, 0.4], [-0.3, 0.2], [0.6,-0.5]]
w^{(2)} = [[0.7, -0.5, 0.2], [0.3, 0.9, -0.4]]
input t = [1, 0]
a = w^{(1)} @ x
z = tanh(a)
y = w^{(2)} @ z
E = sum((y - t)^2) / 2
"""
ZHOU = r"""
input x = [0.5, 0.8, -0.3]
v = [[0.1, 0.4], [-0.3, 0.2], [0.6, -0.5]]
gamma = [0.1, -0.2]
w = [[0.7, -0.5, 0.3], [0.3, 0.9, -0.6]]
theta = [0.05, 0.15, -0.1]
input y = [1, 0, 1]
alpha = x @ v
b = sigmoid(alpha - gamma)
beta = b @ w
\hat{y} = sigmoid(beta - theta)
E = sum((\hat{y} - y)^2) / 2
eta = 0.1
"""
SOFTMAX = r"""
input x = [0.5, 0.8, -0.2]
W = [[0.1, 0.4], [-0.3, 0.2], [0.6, -0.5]]
V = [[0.7, -0.5, 0.2], [0.3, 0.9, -0.4]]
input t = [1, 0, 0]
z = W^T x
h = tanh(z)
o = V^T h
p = softmax(o)
L = -sum(t * log(p))
"""
SQUARE = r"""
input x = [0.5, 0.8]
W = [[0.1, 0.4], [-0.3, 0.2]]
V = [[0.7, -0.5], [0.3, 0.9]]
input t = [1, 0]
z = W x
h = tanh(z)
o = V h
L = sum((o - t)^2) / 2
"""
CODE = r"""
input X = [[0.5, 0.8], [0.2, -0.4], [1.0, 0.3]]
W1 = [[0.1, 0.4, -0.2], [-0.3, 0.2, 0.7]]
b1 = [0.1, 0.05, -0.02]
W2 = [[0.7, -0.5], [0.2, 0.3], [0.9, -0.4]]
b2 = [0.0, 0.1]
input Y = [[1, 0], [0, 1], [1, 0]]
z1 = X @ W1 + b1
h1 = relu(z1)
scores = h1 @ W2 + b2
p = softmax(scores)
L = -sum(Y * log(p)) / 3
"""
NG = r"""
input x = [0.5, 0.8]
W^{[1]} = [[0.1, 0.4], [-0.3, 0.2], [0.6, -0.5]]
b^{[1]} = [0.1, -0.2, 0.3]
W^{[2]} = [[0.7, -0.5, 0.2]]
b^{[2]} = [0.05]
input y = [1]
z^{[1]} = W^{[1]} @ x + b^{[1]}
a^{[1]} = sigmoid(z^{[1]})
z^{[2]} = W^{[2]} @ a^{[1]} + b^{[2]}
a^{[2]} = sigmoid(z^{[2]})
\mathcal{L} = -sum(y * log(a^{[2]}) + (1 - y) * log(1 - a^{[2]}))
alpha = 0.1
"""
DIFFERENTIAL = r"""
input x = [0.5, 0.8]
W = [[0.1, 0.4], [-0.3, 0.2]]
s = W x
o = sigmoid(s)
input d = [1, 0]
E = sum((o - d)^2) / 2
"""
CS229 = r"""
input x = [0.5, 0.8, -0.2]
theta = [0.1, -0.4, 0.3]
input y = 1
h = sigmoid(sum(theta * x))
J = -(y * log(h) + (1 - y) * log(1 - h))
alpha = 0.1
"""
MAZUR = r"""
input i [i1 i2] = [0.05, 0.10]
W1 [w1 w2; w3 w4] = [[0.15, 0.20], [0.25, 0.30]]
W2 [w5 w6; w7 w8] = [[0.40, 0.45], [0.50, 0.55]]
input target [target_o1 target_o2] = [0.01, 0.99]
net_h = W1 @ i + 0.35
out_h = sigmoid(net_h)
net_o = W2 @ out_h + 0.60
out_o = sigmoid(net_o)
E_total = sum((target - out_o)^2) / 2
eta = 0.5
alias f = sigmoid
"""


def verdicts(network: str, *formulas: str) -> list[str]:
    report = tg.check.notes(f"```network\n{network.strip()}\n```\n" + "\n\n".join(f"$${formula}$$" for formula in formulas) + "\n")
    return [entry.verdict for entry in report if entry.verdict != "network"]


@pytest.mark.parametrize(("network", "formula"), [
    # -- indicators, which were a factor 1 and then a matrix product --
    (CODE, r"\frac{\partial L}{\partial W_1} = X^T (\frac13 (p - Y) W_2^T \odot 1\{z_1 > 0\})"),
    (CODE, r"\frac{\partial L}{\partial W_1} = X^T (\frac13 (p - Y) W_2^T \odot \mathbb{1}(z_1 > 0))"),
    (CODE, r"\frac{\partial L}{\partial W_1} = X^T (\frac13 (p - Y) W_2^T \odot \mathbf{1}_{z_1 > 0})"),
    (CODE, r"\frac{\partial L}{\partial W_1} = X^T (\frac13 (p - Y) W_2^T \odot \mathbb{I}[z_1 > 0])"),
    (CODE, r"\frac{\partial L}{\partial W_1} = X^T (\frac13 (p - Y) W_2^T \odot [z_1 > 0])"),
    (CODE, r"\frac{\partial L}{\partial W_1} = X^T (\frac13 (p - Y) W_2^T \circ \text{ReLU}'(z_1))"),
    # -- z is the activation, and a what flows in; the letter alone tells the layer --
    (BISHOP, r"\delta_k = y_k - t_k"),
    (BISHOP, r"\delta_j = (1 - z_j^2) \sum_k w_{kj}^{(2)} \delta_k"),
    (BISHOP, r"\delta_j = (1 - z_j^2) \sum_k w_{kj}^{(2)} \frac{\partial E}{\partial y_k}"),
    (SOFTMAX, r"\delta_k = p_k - t_k"),
    (SOFTMAX, r"\delta_i = p_i - t_i"),
    (SOFTMAX, r"\delta^o = p - t"),
    (SOFTMAX, r"\delta^{(o)}_k = p_k - t_k"),
    # -- layers as upper numbers, also after the index; what an alias means has elements --
    (NIELSEN, r"z^2_j = \sum_k w^2_{jk} a^1_k + b^2_j"),
    (NIELSEN, r"\partial C / \partial a^3_j = a_j^3 - y_j"),
    (NIELSEN, r"w^3 \rightarrow w^3 - \eta \delta^3 (a^2)^T"),
    (NG, r"W^{[2]} := W^{[2]} - \alpha \, dW^{[2]}"),
    # -- the matrix product before the one element by element, where that alone makes sense --
    (SOFTMAX, r"\frac{\partial L}{\partial z} = (1 - h^2) \odot V (p - t)"),
    (SOFTMAX, r"\frac{\partial L}{\partial W} = x \left[(1 - h^2) \odot V (p - t)\right]^T"),
    (SQUARE, r"\frac{\partial L}{\partial z} = (1 - h^2) \odot V^T (o - t)"),
    (SQUARE, r"\frac{\partial L}{\partial W} = V^T (o - t) \odot (1 - h^2) x^T"),
    (NIELSEN, r"\delta^3 = -(y - a^3) \cdot a^3 \cdot (1 - a^3)"),
    # -- a derivative of a formula follows the network --
    (MAZUR, r"\frac{\partial}{\partial w_5} \left(\frac12 \sum (target - out_o)^2\right) = \delta_{o1} out_{h1}"),
    # -- updates --
    (MAZUR, r"w_5(t+1) = w_5(t) - \eta \delta_{o1} out_{h1}"),
    (MAZUR, r"w_5^{t+1} = w_5^{t} - \eta \delta_{o1} out_{h1}"),
    (MAZUR, r"w_{5,new} = w_5 - \eta \delta_{o1} out_{h1}"),
    (MAZUR, r"\Delta w_5 = -\eta \frac{\partial E_{total}}{\partial w_5} = -0.0411"),
    (MAZUR, "Δw₅ = -0.0411"),
    (MAZUR, r"w_5 = 0.4 - 0.5 \cdot 0.08217 = 0.3589"),
    # -- gradients with the variable below, and as in code --
    (MAZUR, r"\nabla_{W_2} E_{total} = \delta_o out_h^T"),
    (ZHOU, r"\nabla_{\hat{y}} E = \hat{y} - y"),
    (NG, r"dW^{[2]} = (a^{[2]} - y) a^{[1]T}"),
    (NG, r"\frac{\partial \mathcal{L}}{\partial W^{[2]}} = (a^{[2]} - y) a^{[1]T}"),
    (CODE, "dW1 = np.dot(X.T, (p - Y) @ W2.T / 3 * (z1 > 0))"),
    (CODE, "db2 = np.sum(p - Y, axis=0, keepdims=True) / 3"),
    (CS229, r"\nabla_\theta J(\theta) = (h - y) x"),
    (CS229, r"\frac{\partial}{\partial \theta_j} J(\theta) = (h - y) x_j"),
    (CS229, r"\frac{\partial J(\theta; x, y)}{\partial \theta} = (h - y) x"),
    (CS229, r"\theta := \theta - \alpha \nabla_\theta J(\theta)"),
    # -- brackets, braces and letters as they are typeset --
    (MAZUR, r"\delta_{h1} = out_{h1}(1-out_{h1})[w_5\delta_{o1}+w_7\delta_{o2}]"),
    (MAZUR, r"\frac{\partial E}{\partial W_2} = \mathrm{diag}(out_o \odot (1 - out_o)) (out_o - target) out_h^{\mathrm T}"),
    (MAZUR, r"\delta_{o1} out_{h1} = \underbrace{(out_{o1} - target_{o1})}_{\text{error}} \overbrace{f'(net_{o1})}^{slope} out_{h1}"),
    (MAZUR, r"\boxed{\frac{\partial E}{\partial w_5} = \textcolor{red}{\delta_{o1}} out_{h1}}"),
    (MAZUR, r"{\partial E \over \partial w_5} = \delta_{o1} out_{h1}"),
    (SOFTMAX, r"\frac{\partial L}{\partial z_j} = (1 - \tanh^2 z_j) \sum_k V_{jk} (p_k - t_k)"),
    (SOFTMAX, r"\frac{\partial p_i}{\partial o_j} = p_i (\delta_{ij} - p_j)"),
    (SOFTMAX, r"p_k = \frac{\exp(o_k)}{\sum_{k'} \exp(o_{k'})}"),
    (NIELSEN, r"\frac{\partial C}{\partial z^3_j} = (a^3_j - y_j) (a^3_j - {a^3_j}^2)"),
    (DIFFERENTIAL, r"\frac{\mathrm{d} E}{\mathrm{d} s_k} = (o_k - d_k) o_k (1 - o_k)"),  # though d is the target
    # -- derivatives of vectors by vectors --
    (SOFTMAX, r"\frac{\partial o}{\partial h} = V^T"),
    (SQUARE, r"\frac{\partial o}{\partial h} = V"),
    (SQUARE + "layout denominator", r"\frac{\partial o}{\partial h} = V^T"),
    (SOFTMAX + "layout denominator", r"\frac{\partial o}{\partial h} = \frac{\partial (V^T h)}{\partial h} = V"),
    (SOFTMAX + "layout denominator", r"\frac{\partial L}{\partial h} = \frac{\partial o}{\partial h} \frac{\partial L}{\partial o}"),
    (SOFTMAX, r"\frac{\partial h}{\partial z} = \mathrm{diag}(1 - h^2)"),
    (SOFTMAX, r"\frac{\partial p}{\partial o} = \mathrm{diag}(p) - p p^T"),
])  # fmt: skip
def test_a_right_formula_agrees(network, formula):
    assert verdicts(network, formula) == ["agrees"]


@pytest.mark.parametrize(("network", "formula"), [
    (CODE, r"\frac{\partial L}{\partial W_1} = X^T (\frac13 (p - Y) W_2^T \odot 1\{z_1 < 0\})"),
    (BISHOP, r"\delta_k = t_k - y_k"),
    (BISHOP, r"\delta_j = (1 - z_j) \sum_k w_{kj}^{(2)} \frac{\partial E}{\partial y_k}"),
    (NIELSEN, r"\partial C / \partial a^3_j = a_j^2 - y_j"),
    (NIELSEN, r"w^2_{jk} = 3"),
    (NIELSEN, r"\delta^3 = (y - a^3) \cdot a^3 \cdot (1 - a^3)"),
    (NIELSEN, r"w^3 \rightarrow w^3 + \eta \delta^3 (a^2)^T"),
    (SQUARE, r"\frac{\partial L}{\partial z} = (1 - h^2) \odot V (o - t)"),
    (MAZUR, r"\frac{\partial}{\partial w_5} \left(\frac12 \sum (target - out_o)^2\right) = -\delta_{o1} out_{h1}"),
    (MAZUR, r"w_5(t+1) = w_5(t) + \eta \delta_{o1} out_{h1}"),
    (MAZUR, r"w_5 = 0.4 + 0.5 \cdot 0.08217"),
    (MAZUR, r"w_5 = 0.3589"),
    (MAZUR, r"w_{5,new} = w_5 + \eta \delta_{o1} out_{h1}"),
    (MAZUR, r"\nabla_{W_2} E_{total} = out_h \delta_o^T"),
    (CODE, "dW1 = np.dot(X.T, (p - Y) @ W2.T / 3)"),
    (NG, r"dW^{[2]} = -(a^{[2]} - y) a^{[1]T}"),
    (SOFTMAX, r"\frac{\partial p_i}{\partial o_j} = p_i (\delta_{ij} + p_j)"),
    (SOFTMAX, r"\frac{\partial o}{\partial h} = -V"),
    (SQUARE, r"\frac{\partial o}{\partial h} = V^T"),
    (SQUARE + "layout denominator", r"\frac{\partial o}{\partial h} = V"),
    (SOFTMAX, r"\frac{\partial h}{\partial z} = \mathrm{diag}(1 - h)"),
    (SQUARE, r"\frac{\partial L}{\partial W} = -((1 - h^2) \odot (V^T (o - t))) x^T"),  # whose second reading has no value
])  # fmt: skip
def test_a_wrong_formula_differs(network, formula):
    assert verdicts(network, formula) == ["differs"]


def test_a_formula_defines_a_name_for_every_index():
    formulas = (r"g_j = \hat{y}_j (1 - \hat{y}_j)(y_j - \hat{y}_j)", r"e_h = b_h (1 - b_h) \sum_{j=1}^3 w_{hj} g_j",
                r"\Delta w_{hj} = \eta g_j b_h", r"\Delta v_{ih} = \eta e_h x_i", r"\Delta \theta_j = -\eta g_j",
                r"\Delta \gamma_h = -\eta e_h", r"\Delta \gamma_h = \eta e_h")  # fmt: skip
    assert verdicts(ZHOU, *formulas) == ["no claim"] * 2 + ["agrees"] * 4 + ["differs"]


def test_code_may_divide_by_the_samples_where_it_likes():
    early = ("dscores = (p - Y) / 3", "dW2 = h1.T @ dscores", "dz1 = dscores @ W2.T * (z1 > 0)", "dW1 = X.T @ dz1")
    late = ("dZ2 = p - Y", "dW2 = h1.T @ dZ2 / 3", "dW2 = h1.T @ dZ2")
    assert verdicts(CODE, *early) == ["no claim", "agrees"] * 2
    assert verdicts(CODE, *late) == ["no claim", "agrees", "differs"]


def test_the_change_of_a_weight_has_a_diagnosis():
    report = tg.check.notes(f"```network\n{MAZUR}```\n" + r"$\Delta w_5 = \eta \delta_{o1} out_{h1}$" + "\n")
    assert "The sign is flipped in dE_total/dw5." in str(report)


def test_the_name_without_a_value_is_the_one_that_is_told():
    report = tg.check.notes(f"```network\n{ZHOU}```\n" + r"$\frac{\partial E}{\partial w_{hj}} = q_j b_h$" + "\n")
    assert "no tensor is named 'q_j'" in str(report)


def test_changes_that_no_step_makes_are_not_read():
    assert verdicts(MAZUR, r"\Delta w_5(t) = -\eta \delta_{o1} out_{h1} + 0.9 \Delta w_5(t-1)", r"\Delta out_o = 3") == ["not read"] * 2


def test_a_sum_that_nothing_ends_is_refused_at_once():
    report = tg.check.notes(f"```network\n{SQUARE}```\n" + r"$L = \sum_m x_1$" + "\n")
    assert "its index m is not in it" in " ".join(str(report).split())


def test_a_transpose_of_the_other_layout_is_called_that():
    report = tg.check.notes(f"```network\n{SOFTMAX}```\n" + r"$\frac{\partial o}{\partial h} = V$" + "\n")
    assert not report.ok
    assert "its transpose is right" in " ".join(str(report).split())


def test_a_layout_that_does_not_exist_is_refused():
    with pytest.raises(tg.errors.FormulaError, match="expected  layout numerator  or  layout denominator"):
        tg.check.notes("```network\nlayout both\n```\n")


def test_letters_tell_layers_in_claims_too():
    program = next(iter(tg.check.notes(f"```network\n{BISHOP}```\n"))).program
    output, hidden = r"\delta_k = y_k - t_k", r"\delta_j = (1 - z_j^2) \sum_k w_{kj}^{(2)} \delta_k"
    assert tg.check(program, [output, hidden]).ok
    assert not tg.check(program, [output, hidden.replace("z_j^2", "z_j")]).ok


def test_another_name_for_a_layer():
    network = BISHOP.replace("y = w^{(2)} @ z", r"c^{(2)} = w^{(2)} @ z" + "\n" + r"\hat{y} = c^{(2)}").replace("(y - t)", r"(\hat{y} - t)")
    assert verdicts(network, r"\nabla_{\hat{y}} E = \hat{y} - t") == ["agrees"]
