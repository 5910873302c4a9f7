"""A formula as it was written, with less of LaTeX in it, for reports."""

from __future__ import annotations

import re
import unicodedata

from tinygrad_bp.check.formula.tokens import GREEK, WIDE

PLAIN = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"\\(?:left|right|quad|qquad|displaystyle|,|;|!|:)(?![A-Za-z])", " "),
        (r"\\(?:text|mathrm|operatorname|mathbf|boldsymbol)\{([^{}]*)\}", r"\1"),
        (r"\{\s*(\w+|[+])\s*\}", r"{\1}"),
        (r"([_^])\{(\w+|[+])\}", r"\1\2"),
        (r"\\[dt]?frac\{\s*\\partial\s*([^{}]*?)\s*\}\s*\{\s*\\partial\s*([^{}]*?)\s*\}", r"d\1/d\2 "),
        (r"\\[dt]?frac\s*(?:(\d)\s*(\d)|\{(\w+)\}\{(\w+)\})", r"\1\3/\2\4 "),
        (r"\\[dt]?frac\{(\w+)\}\{((?:[^{}]|\{[^{}]*\})*)\}", r"\1/(\2)"),
        (r"\\[dt]?frac\{((?:[^{}]|\{[^{}]*\})*)\}\{((?:[^{}]|\{[^{}]*\})*)\}", r"(\1)/(\2)"),
        (r"\\(?:cdot|times)(?![A-Za-z])", "*"),
        (r"\\(alpha|beta|delta|epsilon|eta|theta|lambda|mu|sigma|sum|exp|log|ln|tanh|partial)(?![A-Za-z])", r"\1"),
        (r"(?<=\()\s+|\s+(?=[),])", ""),
    )
)  # of LaTeX

SIGNS = str.maketrans(GREEK | {wide: chr(c) for wide, c in WIDE.items()} | {
    "·": "*", "⋅": "*", "×": "*", "⊙": "*", "∘": "*", "−": "-", "–": "-", "∂": "d", "∇": "nabla ", "Σ": "sum ", "∑": "sum ", "√": "sqrt ",
    "′": "'", "…": "...", "⋯": "...", "≈": "~", "≤": "<=", "≥": ">=", "≠": "!=",
})  # fmt: skip
SCRIPTS = tuple((re.compile(f"[{letters}]+"), sign) for letters, sign in (("₀-₉ₐ-ₜᵢ-ᵥⱼ", "_"), ("⁰¹²³⁴-⁹⁺⁻⁽⁾ᵀ", "^")))


def readable(text: str) -> str:
    r"""A formula with less of LaTeX in it, so that more of it fits on a line.

    >>> readable(r"\frac{\partial E}{\partial w_{5}} = \delta_{o1} \cdot out_{h1}")
    'dE/dw_5 = delta_o1 * out_h1'
    """
    text = text if len(text) < 2000 else f"{text[:1000]} ... {text[-900:]}"
    for pattern, replacement in PLAIN:
        text = pattern.sub(replacement, text)
    return "".join(c if c.isprintable() else " " if c.isspace() else ascii(c)[1:-1] for c in " ".join(text.split()))


def in_ascii(text: str) -> str:
    """The same for a terminal that may not know the signs of mathematics; what has no such form is left.

    >>> in_ascii("∂E/∂w₅ = −（t − o）· σ′(z) · h₁²")
    "dE/dw_5 = -(t - o)* sigma'(z) * h_1^2"
    """
    for pattern, sign in SCRIPTS:
        text = pattern.sub(lambda found, sign=sign: sign + unicodedata.normalize("NFKC", found[0]), text)  # type: ignore[misc]
    return text.translate(SIGNS)
