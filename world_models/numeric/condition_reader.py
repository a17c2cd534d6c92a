"""Reads the text form of goals and numeric conditions; `goals.py` describes it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import NamedTuple, NoReturn

from worldplan.milp import checks
from worldplan.milp.errors import DatasetError
from worldplan.world_models.exact.numbers import exact
from worldplan.world_models.numeric.domain import Comparison, Lifted
from worldplan.world_models.numeric.normal_forms import affine_sum, canonical, linear, minus
from worldplan.world_models.numeric.products import Term

TOKEN = re.compile(
    r"(?P<space>[^\S\n]+|;[^\n]*)|(?P<newline>\n)"
    r"|(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?(?![\w.]))"
    r"|(?P<name>\??[^\W\d][\w-]*)|(?P<relation>>=|<=|==|=|<|>)|(?P<sign>[-+*/()])"
)
RELATIONS = {">=": ">=", ">": ">", "<=": ">=", "<": ">", "=": "=", "==": "="}
BEYOND = ("or", "imply", "forall", "exists", "when")  # what exact linear planning cannot represent
DEEPEST = 100  # nested parentheses
LONGEST = 100_000  # characters

Sum = tuple[dict[Term, Fraction], Fraction]  # (coefficient by fluent, constant)


@dataclass
class Conditions:
    """A conjunction that is being read."""

    positive: list[Lifted] = field(default_factory=list)
    negative: list[Lifted] = field(default_factory=list)
    comparisons: list[Comparison] = field(default_factory=list)


class _Token(NamedTuple):
    kind: str  # "number", "name", "relation", "sign", "newline" or "end"
    text: str  # in lower case
    offset: int


class ConditionReader:
    """Reads one text by recursive descent.

    Args:
        text: the text.
        what: it is, for messages.
        parameters: names of the parameters of an action.
    """

    def __init__(self, text: str, what: str, parameters: Sequence[str]) -> None:
        self.text, self.what = text, what
        self.positions = {f"?{name}": place for place, name in enumerate(parameters)}
        self.facts: list[tuple[str, Lifted, int]] = []  # (kind, fact, offset), as they were read
        self.conditions = Conditions()
        if len(text) > LONGEST:
            raise DatasetError(f"{what} of {len(text)} characters: give at most {LONGEST}")
        self.tokens = self.split()
        self.at = self.depth = 0

    def refuse(self, offset: int, problem: str) -> NoReturn:
        """Raise the error at a place of the text.

        Raises:
            DatasetError: always.
        """
        line = self.text.count("\n", 0, offset) + 1
        column = offset - self.text.rfind("\n", 0, offset)
        place = f"line {line}, character {column}" if "\n" in self.text else f"character {column}"
        raise DatasetError(f"{self.what} {checks.shown(self.text)}, {place}: {problem}")

    def split(self) -> list[_Token]:
        """The tokens of the text, an "end" behind them."""
        tokens, at = [], 0
        while at < len(self.text):
            match = TOKEN.match(self.text, at)
            if match is None or match.lastgroup is None:
                end = at + 1
                while end < len(self.text) and not self.text[end].isspace():
                    end += 1
                self.refuse(at, f"'{self.text[at:end][:20]}' is neither a name nor a number")
            if match.lastgroup != "space":
                word = "the end of the line" if match[0] == "\n" else match[0].lower()
                tokens.append(_Token(match.lastgroup, word, at))
            at = match.end()
        return [*tokens, _Token("end", "the end", len(self.text))]

    # ---- the tokens

    @property
    def token(self) -> _Token:
        return self.tokens[self.at]

    def next(self) -> _Token:
        self.at += 1
        return self.tokens[self.at - 1]

    def takes(self, *texts: str) -> bool:
        """Whether the next token is one of these, which is then passed over."""
        if self.token.kind != "number" and self.token.text in texts:
            self.at += 1
            return True
        return False

    def expect(self, text: str) -> None:
        self.skip_newlines()
        if not self.takes(text):
            self.refuse(self.token.offset, f"'{text}' is expected, not '{self.token.text}'")

    def skip_newlines(self) -> None:
        while self.token.kind == "newline":
            self.at += 1

    def opens_operator(self, *operators: str) -> bool:
        """Whether a parenthesis with one of these operators behind it comes next."""
        if self.token.text != "(":
            return False
        after = next(token for token in self.tokens[self.at + 1 :] if token.kind != "newline")
        return after.text in operators

    # ---- conditions

    def read(self) -> Conditions:
        """All conditions of the text."""
        self.skip_newlines()
        if self.token.kind == "end":
            self.refuse(0, "it is empty: give at least one condition, such as 'water c2 >= 3'")
        self.conjunction("end")
        return self.conditions

    def conjunction(self, end: str) -> None:
        """Conditions joined by `and` or new lines, up to a token of this kind or text."""
        while True:
            self.condition(holds=True)
            before = self.at
            self.skip_newlines()
            if end in (self.token.kind, self.token.text):
                return
            if self.takes("and"):
                self.skip_newlines()
                if end in (self.token.kind, self.token.text):
                    self.refuse(self.token.offset, "a condition is missing after 'and'")
            elif self.at == before:
                self.refuse(self.token.offset, f"'and' is expected, not '{self.token.text}'")

    def condition(self, *, holds: bool) -> None:
        """One condition, or its negation."""
        while self.takes("not"):  # a loop, since a text may hold any number of them
            holds = not holds
        if self.token.text in BEYOND or self.opens_operator(*BEYOND):
            self.refuse(
                self.token.offset,
                "goals are conjunctions of atoms and linear comparisons: no 'or', 'imply' or "
                "quantifier",
            )
        if self.opens_operator("and", "not", *RELATIONS):
            self.nested(holds=holds)
        elif self.opens_group():
            self.group(holds=holds)
        else:
            self.atom_or_comparison(holds=holds)

    def opens_group(self) -> bool:
        """Whether a parenthesis comes next that holds a relation, `and` or `not` itself."""
        depth = 0
        for token in self.tokens[self.at :]:
            depth += {"(": 1, ")": -1}.get(token.text, 0)
            if depth < 1:
                return False
            if depth == 1 and (token.kind == "relation" or token.text in ("and", "not")):
                return True
        return False

    def group(self, *, holds: bool) -> None:
        """(condition and condition ...)."""
        self.deeper(self.next().offset)
        self.skip_newlines()
        if holds:
            self.conjunction(")")
        else:
            self.condition(holds=False)
            self.skip_newlines()
            if self.token.text == "and":
                self.refuse(
                    self.token.offset, "the negation of a conjunction is a disjunction: split it"
                )
        self.expect(")")
        self.depth -= 1

    def nested(self, *, holds: bool) -> None:
        """A condition in PDDL whose operator is and, not or a relation."""
        start = self.next().offset
        self.deeper(start)
        self.skip_newlines()
        operator = self.next()
        self.skip_newlines()
        if operator.text in RELATIONS:
            left = self.sum_in_pddl()
            right = self.sum_in_pddl()
            self.compare(left, operator, right, holds=holds)
        elif operator.text == "not":
            self.condition(holds=not holds)
        elif not holds:
            self.refuse(start, "the negation of a conjunction is a disjunction: split it")
        else:
            while self.token.text != ")" and self.token.kind != "end":
                self.condition(holds=True)
                self.skip_newlines()
        self.expect(")")
        self.depth -= 1

    def deeper(self, offset: int) -> None:
        self.depth += 1
        if self.depth > DEEPEST:
            self.refuse(offset, f"nested deeper than {DEEPEST} parentheses")

    def atom_or_comparison(self, *, holds: bool) -> None:
        before = len(self.facts)
        left = self.sum()
        relation = self.token
        if relation.kind == "relation":
            self.at += 1
            if self.token.kind == "relation":
                self.refuse(relation.offset, "the relations are >=, >, =, < and <=")
            self.skip_newlines()
            self.compare(left, relation, self.sum(), holds=holds)
            if self.token.kind == "relation":
                self.refuse(self.token.offset, "one relation for each condition: join two by 'and'")
            return
        added = self.facts[before:]
        if len(added) != 1 or left != ({added[0][1]: Fraction(1)}, Fraction(0)):
            self.refuse(relation.offset, "a relation is expected here: >=, >, =, < or <=")
        _, fact, offset = added[0]
        self.facts[before] = ("predicate", fact, offset)
        (self.conditions.positive if holds else self.conditions.negative).append(fact)

    def compare(self, left: Sum, relation: _Token, right: Sum, *, holds: bool) -> None:
        """Add the comparison `left relation right`, or its negation."""
        name = relation.text
        if not holds:
            negated = {">=": "<", ">": "<=", "<=": ">", "<": ">="}.get(name)
            if negated is None:
                self.refuse(
                    relation.offset, "a number that must differ from another is a disjunction"
                )
            name = negated
        a, b = (left, right) if name in (">=", ">", "=", "==") else (right, left)
        comparison = canonical(Comparison(minus(linear(*a), linear(*b)), RELATIONS[name]))
        if not comparison.expression.terms and comparison.holds((), {}):
            return  # it holds in every state
        self.conditions.comparisons.append(comparison)

    # ---- sums

    def sum(self) -> Sum:
        """Terms with + and - between them."""
        parts, signs = [], []
        sign = -1 if self.takes("-") else 1
        while True:
            parts.append(self.product())
            signs.append(sign)
            if self.takes("+"):
                sign = 1
            elif self.takes("-"):
                sign = -1
            else:
                return affine_sum(parts, signs)

    def product(self) -> Sum:
        """Factors with * and / between them, of which one at most has a fluent."""
        value = self.factor()
        while self.token.text in ("*", "/"):
            operator = self.next()
            value = self.multiplied(operator, value, self.factor())
        return value

    def multiplied(self, operator: _Token, a: Sum, b: Sum) -> Sum:
        if operator.text == "/":
            if b[0]:
                self.refuse(operator.offset, "division by a fluent is not linear")
            if not b[1]:
                self.refuse(operator.offset, "division by zero")
            return affine_sum([a], [1 / b[1]])
        if a[0] and b[0]:
            self.refuse(operator.offset, "a product of fluents is not linear")
        scaled, factor = (a, b[1]) if a[0] else (b, a[1])
        return affine_sum([scaled], [factor])

    def factor(self) -> Sum:
        sign = 1
        while self.token.text == "-":  # a loop, since a text may hold any number of them
            self.at += 1
            sign = -sign
        return affine_sum([self.unsigned()], [sign])

    def unsigned(self) -> Sum:
        token = self.token
        if token.kind == "number":
            self.at += 1
            return {}, self.number(token)
        if token.text == "(":
            return self.parenthesis()
        if token.kind != "name" or token.text in ("and", "not", *BEYOND):
            self.refuse(token.offset, f"a number or a name is expected, not '{token.text}'")
        return {self.fluent(): Fraction(1)}, Fraction(0)

    def number(self, token: _Token) -> Fraction:
        try:
            return Fraction(exact(token.text))
        except ValueError:
            self.refuse(token.offset, f"{token.text[:20]}... is too long or too large a number")

    def parenthesis(self) -> Sum:
        """(fluent object ...), (sum), or a sum in PDDL, (+ a b)."""
        start = self.next().offset
        self.deeper(start)
        self.skip_newlines()
        in_pddl = self.token.kind == "sign" and self.token.text in "+-*/"
        value = self.operator_in_pddl() if in_pddl else self.sum()
        self.expect(")")
        self.depth -= 1
        return value

    def operator_in_pddl(self) -> Sum:
        operator = self.next()
        parts = self.operands()
        if operator.text == "-" and len(parts) == 1:
            return affine_sum(parts, [-1])
        if len(parts) < 2 or (operator.text in "/-" and len(parts) != 2):
            self.refuse(operator.offset, f"'{operator.text}' has {len(parts)} operands: give two")
        if operator.text == "+":
            return affine_sum(parts, [1] * len(parts))
        if operator.text == "-":
            return affine_sum(parts, [1, -1])
        value = parts[0]
        for part in parts[1:]:
            value = self.multiplied(operator, value, part)
        return value

    def operands(self) -> list[Sum]:
        """Sums in PDDL up to what is none."""
        parts = []
        self.skip_newlines()
        while self.token.kind in ("number", "name") or self.token.text == "(":
            parts.append(self.sum_in_pddl())
            self.skip_newlines()
        return parts

    def sum_in_pddl(self) -> Sum:
        """A number, a name without objects, or a parenthesis."""
        self.skip_newlines()
        token = self.token
        if token.kind == "name":
            self.at += 1
            fact: Lifted = (token.text,)
            self.facts.append(("function", fact, token.offset))
            return {fact: Fraction(1)}, Fraction(0)
        return self.factor()

    def fluent(self) -> Lifted:
        """A name and the names behind it."""
        start = self.token
        names: list[int | str] = []
        while self.token.kind == "name" and self.token.text not in ("and", "not", *BEYOND):
            names.append(self.object_name(self.next(), first=not names))
            if self.depth:
                self.skip_newlines()
        fact: Lifted = tuple(names)
        self.facts.append(("function", fact, start.offset))
        return fact

    def object_name(self, token: _Token, *, first: bool) -> int | str:
        if token.text[0] != "?":
            return token.text
        if first:
            self.refuse(token.offset, f"'{token.text}' is a parameter: begin with a function")
        if token.text not in self.positions:
            known = f"choose {', '.join(self.positions)}" if self.positions else "give an object"
            self.refuse(token.offset, f"there is no parameter '{token.text}': {known}")
        return self.positions[token.text]
