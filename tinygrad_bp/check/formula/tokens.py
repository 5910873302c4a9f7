"""Text to tokens: NumPy, LaTeX and Unicode come out alike, each token with its place in the text."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Container
from dataclasses import dataclass

from tinygrad_bp.errors import FormulaError

TEXT_LIMIT = 20_000  # characters in one formula
TOKEN_LIMIT = 4_000
WORD_LIMIT = 80  # letters in one word, digits in one number

GREEK = {
    "α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "ε": "epsilon", "ϵ": "epsilon", "ζ": "zeta", "η": "eta", "θ": "theta",
    "κ": "kappa", "λ": "lambda", "μ": "mu", "µ": "mu", "ν": "nu", "ξ": "xi", "π": "pi", "ρ": "rho", "σ": "sigma", "τ": "tau",
    "φ": "phi", "ϕ": "phi", "χ": "chi", "ψ": "psi", "ω": "omega", "Δ": "Delta", "Θ": "Theta", "Φ": "Phi", "Ψ": "Psi", "Ω": "Omega",
}  # fmt: skip
SIGNS = {
    "·": "dot", "⋅": "dot", "∙": "dot", "•": "dot", "×": "*", "∗": "*", "⊙": "*", "∘": "*", "⊗": "outer",
    "÷": "/", "∕": "/", "−": "-", "–": "-",
    "∂": "partial", "∇": "nabla", "▽": "nabla", "∑": "sum", "Σ": "sum", "√": "sqrt", "←": ":=", "≔": ":=", "→": "->", "≈": "=",
    "≡": "=", "′": "'", "’": "'",
    "…": "...", "⋯": "...", "⋮": "...", "≥": ">=", "≤": "<=", "≠": "!=", "⊤": "^T", "‖": "||", "∥": "||",
}  # fmt: skip
COMMANDS = {
    "cdot": "dot", "bullet": "dot", "times": "*", "ast": "*", "odot": "*", "bigodot": "*", "circ": "*", "otimes": "outer", "div": "/",
    "partial": "partial", "nabla": "nabla", "bigtriangledown": "nabla", "sum": "sum", "Sigma": "sum", "sqrt": "sqrt", "approx": "=",
    "equiv": "=", "leftarrow": ":=", "gets": ":=", "rightarrow": "->", "to": "->", "over": "over",
    "prime": "'", "cdots": "...", "dots": "...", "ldots": "...", "vdots": "...",
    "ddots": "...", "ge": ">=", "geq": ">=", "le": "<=", "leq": "<=", "ne": "!=", "neq": "!=", "gt": ">", "lt": "<", "{": "(", "}": ")",
    "lbrack": "(", "rbrack": ")", "lparen": "(", "rparen": ")", "%": "%", "_": "_", "\\": "\\\\", "frac": "frac", "dfrac": "frac",
    "tfrac": "frac", "begin": "begin", "end": "end", "hat": "hat", "widehat": "hat", "bar": "bar",
    "overline": "bar", "tilde": "tilde", "widetilde": "tilde", "dot": "dotted", "&": "&", "lVert": "||", "rVert": "||", "Vert": "||",
    "|": "||", "lvert": "|", "rvert": "|", "vert": "|",
}  # fmt: skip
SPACES = {
    "left", "right", "bigl", "bigr", "Bigl", "Bigr", "biggl", "biggr", "big", "Big", "bigg", "Bigg", ",", ";", ":", "!", " ",
    "quad", "qquad",
    "displaystyle", "textstyle", "limits", "nonumber", "boldsymbol", "mathbf", "bm", "mathit", "mathsf", "vec", "textbf",
    "textit", "mathcal",
    "rm", "bf", "hline", "", "notag", "middle", "underbrace", "overbrace",
}  # fmt: skip
INDICATOR = re.compile(  # \mathbb{1}(z > 0), \mathbf 1\{z > 0\}, \mathbb I[z > 0]; \mathbf{1} alone is a one
    r"\\(?:mathbb|mathds|mathbf|bm)\s*(?:\{\s*[1I]\s*\}|[1I])(?=\s*(?:\\left)?\s*(?:\\\{|[_({\[]))|\\(?:mathbb|mathds|mathbf)\s*\{\s*1\s*\}"
)
WORDS = {"text", "mathrm", "operatorname", "textrm", "mbox", "mathop"}
WORD_COMMANDS = {name: name for name in ("exp", "log", "sin", "cos", "tan", "tanh", "sinh", "cosh", "max", "min", "arctan", "det")} | {
    "ln": "log", "top": "T", "intercal": "T",
}  # fmt: skip
ACCENTS = {"\u0302": "hat", "\u0304": "bar", "\u0303": "tilde"}
WIDE = {0xFEE0 + c: c for c in range(0x21, 0x7F)}  # the full-width signs of Chinese and Japanese keyboards
PAIRS = ("\\\\", "**", "||", ":=", "==", "!=", ">=", "<=", "+=", "-=")


@dataclass(frozen=True, slots=True)
class Token:
    """``kind``: "word", "number", "sign" or "end"; ``text`` says which one."""

    kind: str
    text: str
    start: int
    end: int
    word: bool = False  # a LaTeX group whose letters are one word: \\text{...}; a Greek letter; a function's command

    def __str__(self) -> str:
        return "the end" if self.kind == "end" else f"'{self.text}'"


def tokens(text: str, known: Container[str] | None = None) -> list[Token]:
    """The tokens of a formula, closed by one of kind "end".

    >>> [t.text for t in tokens("w₅ - \\\\eta \\\\cdot g")]
    ['w', '_', '{', '5', '}', '-', 'eta', 'dot', 'g', '']
    """
    if len(text) > TEXT_LIMIT:
        raise FormulaError(f"the formula has {len(text)} characters, and {TEXT_LIMIT} are the limit. Split it into several")
    lexer = _Lexer(unlabelled(text))
    lexer.run()
    return [*_spelled(lexer.found, known), Token("end", "", len(text), len(text))][: None if text.strip() else 1]


def unlabelled(text: str) -> str:
    r"""The text without boxes, colours, and the words under a brace, \\underbrace{y - t}_{\\text{error}}; everything keeps its place."""
    for found in re.finditer(
        r"\\(?:(boxed|fbox|mathbox)|(underbrace|overbrace)|color\s*\{\w*\}|textcolor\s*\{\w*\})\s*(?=\{|(?<=\}))", text
    ):
        start, end = found.span()
        close = closing(text, end)
        if found[2]:
            label = re.compile(r"\s*[_^]\s*").match(text, close + 1)
            start, end = (label.end(), closing(text, label.end()) + 1) if label else (end, end)
            start = close + 1 if label else start
        elif found[1]:
            text = text[:close] + " " + text[close + 1 :]
            end += 1
        text = text[:start] + " " * (end - start) + text[end:]
    return text


def closing(text: str, at: int) -> int:
    """Where the group that begins at a place ends: at the brace that closes it, or at once."""
    depth = 0
    for i in range(at, len(text)):
        depth += (text[i] == "{") - (text[i] == "}")
        if depth <= 0:
            return i
    return len(text) - 1


class _Lexer:
    def __init__(self, text: str) -> None:
        self.text, self.at = text.translate(WIDE), 0
        self.found: list[Token] = []

    def run(self) -> None:
        while self.at < len(self.text):
            c = self.text[self.at]
            if c.isspace() or c in "$~\u200b\ufeff":
                self.at += 1
            elif (indicator := INDICATOR.match(self.text, self.at)) is not None:
                self.add("number", "1", len(indicator.group()))
                self.at = indicator.end()
            elif c == "\\" and not self.text.startswith("\\\\", self.at):
                self.command()
            elif _digit(c) or (c == "." and _digit(self.text[self.at + 1 : self.at + 2])):
                self.number()
            elif c.isascii() and c.isalpha():
                self.word()
            else:
                self.sign(c)
            if len(self.found) > TOKEN_LIMIT:
                raise FormulaError.at(self.text, self.at, f"the formula is too long: {TOKEN_LIMIT} signs are the limit")

    def add(self, kind: str, text: str, length: int, word: bool = False) -> None:
        if length > WORD_LIMIT:
            raise FormulaError.at(self.text, self.at, f"a name or number of more than {WORD_LIMIT} characters")
        self.found.append(Token(kind, text, self.at, self.at + length, word))

    def span(self, start: int, more: str = "") -> int:
        """Where the letters and digits from a place end."""
        while start < len(self.text) and ((self.text[start].isascii() and self.text[start].isalnum()) or self.text[start] in more):
            start += 1
        return start

    def digits(self, start: int) -> int:
        while start < len(self.text) and _digit(self.text[start]):
            start += 1
        return start

    def number(self) -> None:
        """1, 0.5, .5, 1e-3; only digits after an underscore (w_5e is w_5 times e); a parameter's name such as 0.weight."""
        start, end = self.at, self.digits(self.at)
        if not (self.found and self.found[-1].text == "_"):
            letter = self.text[end + 1 : end + 2]
            if self.text[end : end + 1] == "." and (letter.isalpha() or letter == "_") and self.text[end + 1 : end + 3] != "T":
                end = self.span(end + 1, more="._")
                self.add("word", self.text[start:end], end - start, word=True)
                self.at = end
                return
            if self.text[end : end + 1] == ".":
                end = self.digits(end + 1)
            if self.text[end : end + 1] in ("e", "E"):
                signed = end + 1 + (self.text[end + 1 : end + 2] in ("+", "-"))
                end = self.digits(signed) if self.digits(signed) > signed else end
            if self.text[end : end + 1] == "." and _digit(self.text[end + 1 : end + 2]):
                raise FormulaError.at(self.text, end, "a second decimal point in one number")
        self.add("number", self.text[start:end], end - start)
        self.at = end

    def word(self) -> None:
        end = self.span(self.at)
        if self.found and self.found[-1].text == "^":  # without braces an exponent is one letter: v^Tx
            end = self.at + 1
        self.add("word", self.text[self.at : end], end - self.at)
        self.at = end

    def command(self) -> None:
        end = self.at + 1
        while end < len(self.text) and self.text[end].isascii() and self.text[end].isalpha():
            end += 1
        name = self.text[self.at + 1 : max(end, self.at + 2)]
        length = len(name) + 1
        if name in WORDS:
            self.upright(end)
            return
        if name in ("left", "right") and self.text[end:].lstrip().startswith("."):
            length = self.text.index(".", end) + 1 - self.at
        elif name in ("begin", "end"):
            self.environment(name, end)
            return
        elif name in COMMANDS:
            self.add("sign", COMMANDS[name], length)
        elif name in WORD_COMMANDS or name.removeprefix("var") in GREEK.values():
            self.add("word", WORD_COMMANDS.get(name, name.removeprefix("var")), length, word=True)
        elif name.strip() and name not in SPACES:
            raise FormulaError.at(self.text, self.at, f"no meaning is known for \\{name}")
        bracket = self.text[self.at + length :].lstrip()[:1]
        self.at += length
        if name in SPACES and bracket == "[":  # \left[ a + b \right] groups, while [a, b] lists
            self.at = self.text.index("[", self.at)
            self.add("sign", "(", 1)
            self.at += 1
        elif name in SPACES and bracket == "]":
            self.at = self.text.index("]", self.at)
            self.add("sign", ")", 1)
            self.at += 1

    def upright(self, end: int) -> None:
        r"""\text{ out }: one word, its spaces left out."""
        letter = re.compile(r"\s+([A-Za-z])(?![A-Za-z])").match(self.text, end)
        if letter is not None:  # \\mathrm T
            self.add("word", letter[1], letter.end() - self.at, word=True)
            self.at = letter.end()
            return
        opening = self.text.find("{", end)
        closing = self.text.find("}", opening)
        if opening < 0 or closing < 0 or self.text[end:opening].strip():
            raise FormulaError.at(self.text, self.at, "expected {letters} after this")
        letters = self.text[opening + 1 : closing].replace(" ", "").replace("\\_", "_")
        if not letters.replace("_", "").replace(".", "").isalnum() or not letters.isascii():
            self.at = end  # more than letters: an ordinary group
            return
        if letters == "d" and not self.text[closing + 1 :].lstrip().startswith(("_", "^")):  # an upright d is no name
            self.add("sign", "partial", closing + 1 - self.at)
            self.at = closing + 1
            return
        for i, piece in enumerate(letters.split("_")):
            if i:
                self.add("sign", "_", closing + 1 - self.at)
            if piece:
                self.add("word", piece, closing + 1 - self.at, word=True)
        self.at = closing + 1

    def environment(self, name: str, end: int) -> None:
        closing = self.text.find("}", end)
        if self.text[end : end + 1] != "{" or closing < 0:
            raise FormulaError.at(self.text, self.at, f"expected {{name}} after \\{name}")
        self.add("sign", name, closing + 1 - self.at)
        self.add("word", self.text[end + 1 : closing].strip("* "), closing + 1 - self.at, word=True)
        self.at = closing + 1
        if self.text[self.at :].lstrip().startswith("{") and name == "begin":  # the columns of an array
            columns = self.text.find("}", self.at)
            if columns > 0 and set(self.text[self.at : columns]) <= set("{lcr| "):
                self.at = columns + 1

    def sign(self, c: str) -> None:
        pair = self.text[self.at : self.at + 2]
        if self.text.startswith("...", self.at):
            self.add("sign", "...", 3)
            self.at += 3
            return
        if pair in PAIRS:
            self.add("sign", pair, 2)
            self.at += 2
            return
        if c in GREEK:
            self.add("word", GREEK[c], 1, word=True)
        elif SIGNS.get(c) == "^T":
            self.script("^", "T")
        elif c in SIGNS:
            self.add("sign", SIGNS[c], 1)
        elif c in "+-*/@=()[]{}^_,;:.&'<>|":
            self.add("sign", c, 1)
        elif c in ACCENTS:
            self.add("sign", f"over {ACCENTS[c]}", 1)
        else:
            self.exotic(c)
        self.at += 1

    def exotic(self, c: str) -> None:
        """Subscripts, superscripts, letters with a hat, mathematical alphabets: what Unicode says they stand for."""
        shape, *letters = unicodedata.decomposition(c).split() or [""]
        plain = unicodedata.normalize("NFKC", c)
        if plain in GREEK or GREEK.get(plain[:1]):
            plain = GREEK.get(plain, plain)
        if plain in SIGNS:
            plain = {"−": "-"}.get(plain, plain)
        if shape == "<sub>" or c == "ₒ":
            self.script("_", plain)
        elif shape == "<super>":
            self.script("^", plain)
        elif shape == "<font>" or (plain != c and plain.isalnum() and plain.isascii()):
            self.add("number" if plain.isdigit() else "word", plain, 1)
        elif letters and len(shape) == 4 and chr(int(letters[-1], 16)) in ACCENTS:  # a letter with a hat
            self.add("word", chr(int(shape, 16)), 1)
            self.add("sign", f"over {ACCENTS[chr(int(letters[-1], 16))]}", 1)
        else:
            raise FormulaError.at(self.text, self.at, f"no meaning is known for the sign {c!a}")

    def script(self, sign: str, plain: str) -> None:
        """One raised or lowered sign, joined to those before it: x₁₂ is x_{12}."""
        if len(self.found) > 2 and self.found[-1].text == "}" and self.found[-1].end == self.at and self.opened_by(sign):
            self.found.pop()
        else:
            self.add("sign", sign, 1)
            self.add("sign", "{", 1)
        self.add("number" if plain.isdigit() else "word" if plain.isalpha() else "sign", plain, 1, word=plain.isalpha())
        self.add("sign", "}", 1)

    def opened_by(self, sign: str) -> bool:
        for token, before in zip(reversed(self.found), reversed(self.found[:-1]), strict=False):
            if token.text == "{":
                return before.text == sign and before.end == token.end and self.text[token.start] not in "{^_"
        return False


def _digit(c: str) -> bool:
    return bool(c) and c in "0123456789"


def _spelled(found: list[Token], known: Container[str] | None) -> list[Token]:
    """``n e t`` is net: three or more single letters with spaces between, unless each is a name of its own."""
    result: list[Token] = []
    i = 0
    while i < len(found):
        j = i
        raised = i > 0 and found[i - 1].text == "^"  # without braces an exponent is one letter: v^T x y
        while j < len(found) and _letter(found[j]) and (j == i or found[j].start > found[j - 1].end) and not raised:
            j += 1
        run = found[i:j]
        alone = known is not None and all(t.text in known for t in run)
        if len(run) >= 3 and not alone:
            result.append(Token("word", "".join(t.text for t in run), run[0].start, run[-1].end))
            i = j
        else:
            result.append(found[i])
            i += 1
    return result


def _letter(token: Token) -> bool:
    return token.kind == "word" and len(token.text) == 1 and not token.word
