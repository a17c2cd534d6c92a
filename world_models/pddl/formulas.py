"""Conditions, effects and numbers of PDDL trees: checked against the declarations, and brought into
the form that unified-planning reads.

Sums of any length become sums of two, `(- x)` becomes `(- 0 x)`, `scale-up` an assignment. What the
exact models cannot represent is collected, with its line, and is no error here: other engines and
the independent validator may take it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from worldplan.milp.errors import DatasetError
from worldplan.nearest import did_you_mean
from worldplan.world_models.pddl.beyond import Beyond
from worldplan.world_models.pddl.declared import Declarations, one_type, typed_list
from worldplan.world_models.pddl.syntax import Group, Name, Node, at, number, shown

COMPARISONS = (">=", "<=", ">", "<", "=")
CHANGES = ("assign", "increase", "decrease", "scale-up", "scale-down")
ARITHMETIC = ("+", "-", "*", "/")
TIMED = ("at", "over")
CONNECTIVES = ("and", "or", "not", "imply", "forall", "exists", "when", *COMPARISONS, *CHANGES)


@dataclass
class Formulas:
    """Checks the expressions of one file.

    Args:
        declared: the declarations.
        where: what errors name.
        changing: names of the functions that some action changes.
        scope: type of each variable.
        beyond: filled.
        is_goal: whether the objects are known, so that quantifiers can be expanded.
    """

    declared: Declarations
    where: str | Path
    changing: frozenset[str] = frozenset()
    scope: dict[str, str] = field(default_factory=dict)
    beyond: list[Beyond] = field(default_factory=list)
    is_goal: bool = False

    def refuse(self, node: Node, problem: str) -> DatasetError:
        """The error for a part of the file."""
        return DatasetError(f"{at(self.where, node)}: {problem}: {shown(node)}")

    def note(self, node: Node, what: str, *, grounded: bool = False) -> None:
        """Note something that the exact models cannot represent."""
        self.beyond.append(Beyond(what, node.line, shown(node, 120), grounded))

    # ---- conditions

    def condition(self, node: Node, *, holds: bool = True) -> Node:
        """A checked condition.

        Args:
            node: the condition.
            holds: False under an odd number of negations.

        Raises:
            DatasetError: it is malformed.
        """
        if isinstance(node, Name):
            raise self.refuse(node, "a condition is expected in parentheses here")
        if not node:
            return Group.of([Name.at("and", node.line)], node.line)
        head = node.head
        if head in ("and", "or"):
            if (head == "or") == holds and len(node) > 2:
                self.note(node, "a disjunction")
            parts = [self.condition(part, holds=holds) for part in node[1:]]
            return Group.of([node[0], *parts], node.line)
        if head == "not":
            self.count(node, 1)
            return Group.of([node[0], self.condition(node[1], holds=not holds)], node.line)
        if head == "imply":
            self.count(node, 2)
            if holds:
                self.note(node, "a disjunction")
            parts = [self.condition(node[1], holds=not holds), self.condition(node[2], holds=holds)]
            return Group.of([node[0], *parts], node.line)
        if head in ("forall", "exists"):
            if (head == "exists") == holds:
                self.note(node, "a quantifier or another condition")
            elif not self.is_goal:
                self.note(node, "a quantifier or another condition", grounded=True)
            return self._quantified(
                node, "condition", lambda body: self.condition(body, holds=holds)
            )
        if head in COMPARISONS:
            return self._comparison(node, holds)
        return self.atom(node)

    def _quantified(self, node: Group, what: str, checked: Callable[[Node], Node]) -> Node:
        """A quantifier; over an `either`, one quantifier for each of its types.

        Args:
            node: the quantifier.
            what: "condition" or "effect".
            checked: its body, checked with its variables in scope.

        Raises:
            DatasetError: it is malformed.
        """
        if len(node) != 3 or not isinstance(node[1], Group):
            raise self.refuse(node, f"'{node.head}' takes a list of variables and one {what}")
        outer, results = dict(self.scope), []
        for variables in self._choices(node[1]):
            self.scope = {**outer, **{str(n): kind for n, kind in variables}}
            body = checked(node[2])
            parts: list[Node] = []
            for variable, kind in variables:
                parts += [variable, Name.at("-", node.line), Name.at(kind, node.line)]
            results.append(Group.of([node[0], Group.of(parts, node.line), body], node.line))
        self.scope = outer
        joined = Name.at("or" if node.head == "exists" else "and", node.line)
        return results[0] if len(results) == 1 else Group.of([joined, *results], node.line)

    def _choices(self, variables: Group) -> list[list[tuple[Name, str]]]:
        """The variables of a quantifier with their types: one list for each choice of types."""
        choices: list[list[tuple[Name, str]]] = [[]]
        seen: set[str] = set()
        for variable, kinds in typed_list(variables, self.where, "variables"):
            if variable[0] != "?" or len(variable) == 1:
                raise self.refuse(variable, "a variable begins with '?'")
            if variable in seen:
                raise self.refuse(variable, "a variable is declared twice: rename one")
            seen.add(str(variable))
            names = [one_type(variable, (kind,), self.declared, self.where) for kind in kinds]
            choices = [
                [*choice, (variable, kind)] for kind in names or ["object"] for choice in choices
            ]
        return choices

    def _comparison(self, node: Group, holds: bool) -> Node:
        self.count(node, 2)
        if node.head == "=" and all(self._is_term(part) for part in node[1:]):
            for part in node[1:]:
                self._kind(part)
            if holds and not self.is_goal and node[1] != node[2]:
                self.note(node, "the demand that two parameters be the same object")
            return node
        left, right = (self.number(part) for part in node[1:])
        if node.head == "=" and not holds:
            self.note(node, "a number that must differ from another (a disjunction)")
        return Group.of([node[0], left, right], node.line)

    def _is_term(self, part: Node) -> bool:
        return isinstance(part, Name) and (
            part in self.scope
            or part in self.declared.objects
            or (part[0] == "?" and not part.is_number)
        )

    def atom(self, node: Node) -> Group:
        """A checked atom.

        Raises:
            DatasetError: it is malformed, or is no atom of a declared predicate.
        """
        if not isinstance(node, Group) or not node.head:
            raise self.refuse(node, "an atom is expected here: not PDDL")
        head = node.head
        if head in self.declared.functions:
            raise self.refuse(node, f"'{head}' is a function, not a predicate: compare it")
        if head in CHANGES or head == "when" or (head in TIMED and self.is_timed(node)):
            kind = "a timed condition or effect" if head in TIMED else f"'{head}'"
            raise self.refuse(node, f"{kind} cannot stand here")
        self._facts(node, self.declared.predicates, "predicate")
        return node

    def is_timed(self, node: Group) -> bool:
        """Whether `(at 5 (p))` is timed, and no atom of a predicate `at`."""
        if node.head not in self.declared.predicates:
            return True
        return len(node) == 3 and isinstance(node[2], Group) and number(node[1]) is not None

    def _facts(self, node: Group, known: Mapping[str, tuple[str, ...]], what: str) -> None:
        """Check the name and the arguments of an atom or a fluent.

        Raises:
            DatasetError: one is wrong.
        """
        head = node.head
        if head not in known:
            near = did_you_mean(head, known)
            raise self.refuse(node, f"no {what} '{head}' is declared{near}")
        kinds = known[head]
        if len(kinds) != len(node) - 1:
            raise self.refuse(
                node, f"'{head}' takes {len(kinds)} objects, not {len(node) - 1} (its arity)"
            )
        for argument, expected in zip(node[1:], kinds, strict=True):
            kind = self._kind(argument)
            if not self.declared.is_a(kind, expected):
                raise self.refuse(
                    node, f"'{argument}' is of type '{kind}', and '{head}' takes '{expected}'"
                )

    def _kind(self, term: Node) -> str:
        """The type of a parameter or an object.

        Raises:
            DatasetError: it is neither.
        """
        if isinstance(term, Group):
            raise self.refuse(term, "an object or a parameter is expected here")
        if term in self.scope:
            return self.scope[term]
        if term in self.declared.objects:
            return self.declared.objects[term]
        what = "parameter" if term[0] == "?" else "object"
        near = did_you_mean(term, self.scope if what == "parameter" else self.declared.objects)
        raise self.refuse(term, f"no {what} '{term}' is declared{near}")

    # ---- numbers

    def number(self, node: Node) -> Node:
        """A checked number, with operators of two operands.

        Raises:
            DatasetError: it is malformed.
        """
        if isinstance(node, Name):
            if node.is_number:
                return node
            if node in self.declared.functions and not self.declared.functions[node]:
                return Group.of([node], node.line)  # (total-cost) without its parentheses
            raise self.refuse(node, "a number or a function in parentheses is expected here")
        head = node.head
        if head in self.declared.predicates and head not in self.declared.functions:
            raise self.refuse(node, f"'{head}' is a predicate, not a function: it is no number")
        if head not in ARITHMETIC:
            if not head:
                raise self.refuse(node, "a number or a function is expected here")
            self._facts(node, self.declared.functions, "function")
            return node
        operands = [self.number(part) for part in node[1:]]
        if not operands or (len(operands) == 1 and head != "-"):
            raise self.refuse(node, f"'{head}' takes at least two numbers, not {len(operands)}")
        self._check_product(node)
        if head == "/" and any(number(part) == 0 for part in node[2:]):
            raise self.refuse(node, "division by zero")
        if len(operands) == 1:
            value = number(node)
            if isinstance(operands[0], Name) and value is not None:
                return Name.at(f"{value}", node.line)
            return Group.of([node[0], Name.at("0", node.line), operands[0]], node.line)
        total = operands[0]
        for operand in operands[1:]:
            total = Group.of([node[0], total, operand], node.line)
        return total

    def _check_product(self, node: Group) -> None:
        """Note a product of two changing fluents, or a division by one."""
        changed = [names[0] for part in node[1:] if (names := self._changed_in(part))]
        divisors = [names[0] for part in node[2:] if (names := self._changed_in(part))]
        if node.head == "*" and len(changed) > 1:
            self.note(
                node,
                f"a product of fluents that actions change, '{changed[0]}' and '{changed[1]}',",
            )
        elif node.head == "/" and divisors:
            self.note(node, f"division by a fluent that an action changes, '{divisors[0]}',")

    def _changed_in(self, node: Node) -> list[str]:
        if isinstance(node, Name):
            return [str(node)] if node in self.changing else []
        if node.head in self.changing:
            return [node.head]
        return [found for part in node[1:] for found in self._changed_in(part)]

    # ---- effects

    def effect(self, node: Node) -> Node:
        """A checked effect.

        Raises:
            DatasetError: it is malformed.
        """
        if isinstance(node, Name):
            raise self.refuse(node, "an effect is expected in parentheses here")
        if not node:
            return Group.of([Name.at("and", node.line)], node.line)
        head = node.head
        if head == "and":
            return Group.of([node[0], *(self.effect(part) for part in node[1:])], node.line)
        if head == "not":
            self.count(node, 1)
            return Group.of([node[0], self.atom(node[1])], node.line)
        if head == "when":
            self.count(node, 2)
            self.note(node, "a conditional or universal effect")
            inner = Formulas(self.declared, self.where, self.changing, self.scope)
            return Group.of([node[0], inner.condition(node[1]), self.effect(node[2])], node.line)
        if head == "forall":
            self.note(node, "a conditional or universal effect", grounded=True)
            return self._quantified(node, "effect", self.effect)
        if head in CHANGES:
            return self._change(node)
        if head in ("or", "imply", "exists", *COMPARISONS):
            raise self.refuse(node, f"'{head}' is a condition, not an effect")
        return self.atom(node)

    def _change(self, node: Group) -> Node:
        self.count(node, 2)
        target = node[1]
        if isinstance(target, Name) and not self.declared.functions.get(target, ("",)):
            target = Group.of([target], target.line)
        if not isinstance(target, Group) or target.head in ARITHMETIC or not target.head:
            raise self.refuse(node, f"'{node.head}' changes a function")
        if target.head in self.declared.predicates and target.head not in self.declared.functions:
            raise self.refuse(
                node, f"'{target.head}' is a predicate: '{node.head}' is incompatible"
            )
        self._facts(target, self.declared.functions, "function")
        if node.head in ("scale-up", "scale-down"):
            sign = Name.at("*" if node.head == "scale-up" else "/", node.line)
            product = Group.of([sign, target, node[2]], node.line)
            return Group.of([Name.at("assign", node.line), target, self.number(product)], node.line)
        return Group.of([node[0], target, self.number(node[2])], node.line)

    def count(self, node: Group, expected: int) -> None:
        """Check the number of arguments of an operator.

        Raises:
            DatasetError: it has more or fewer.
        """
        if len(node) - 1 != expected:
            raise self.refuse(
                node, f"'{node.head}' takes {expected} arguments, not {len(node) - 1}"
            )
