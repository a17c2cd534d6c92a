"""PDDL that is malformed is refused with its file and line, in the words of this package."""

import pytest

from tests.world_models.pddl.van import D, P, with_change
from worldplan.milp.errors import DatasetError
from worldplan.world_models.pddl.tasks import read_task

REFUSED = [  # (file, old, new, what the message has)
    (
        D,
        "(define (domain van)",
        "(define (problem van)",
        "line 1: Expected 'domain', not 'problem': give the domain here, and this file where a "
        "problem is asked for",
    ),
    (D, "(define (domain van)", "(define van", "line 1: Expected 'domain'"),
    (D, "(define (domain van)", "(defines (domain van)", "line 1: Expected"),
    (D, "(domain van)", "(domain)", "line 1: .*(domain NAME)"),
    (D, "(domain van)", "(domain van two)", "line 1: .*(domain NAME)"),
    (D, "(:types", "(:type", r"line 3: ':type' is no section of a domain \(did you mean ':types'"),
    (D, "(:types", "types", "line 15: a .* closes nothing"),
    (D, "(:constants", "(:types a) (:constants", "line 4: a second ':types'"),
    (
        D,
        "depot - place)",
        "depot - plaza)",
        r"line 4: type 'plaza' is not declared \(did you mean 'place'",
    ),
    (D, "depot - place)", "depot -)", "line 4: a type is missing after '-'"),
    (D, "depot - place)", "- place)", "line 4: a '-' without a name"),
    (D, "depot - place)", "depot depot - place)", "line 4: constant 'depot'.*already defined"),
    (D, "depot - place)", "?depot - place)", "line 4: constant '.depot': it is no name"),
    (D, "depot - place)", "7 - place)", "line 4: constant '7': it is no name"),
    (
        D,
        "depot - place)",
        "depot - (either place vehicle))",
        "line 4: constant 'depot' has 2 types",
    ),
    (
        D,
        "car truck - vehicle place)",
        "car - (either a b) place)",
        "line 3: type 'car' has 2 parents",
    ),
    (D, "car truck - vehicle place)", "car - vehicle vehicle - car place truck)", "own ancestor"),
    (
        D,
        "car truck - vehicle place)",
        "car truck - vehicle car - place place)",
        "line 3: type 'car' is already below 'vehicle'",
    ),
    (D, "(fuel ?v - vehicle)", "(fuel ?v - (either car place))", "line 6: .*different parents"),
    (D, "(fuel ?v - vehicle)", "(fuel ?v - (neither car truck))", "line 6: .*a type is a name or"),
    (
        D,
        "(open ?p - place)",
        "(open ?p - place) (open)",
        "line 5: predicate 'open'.*already defined",
    ),
    (D, "(open ?p - place)", "open", "line 5: 'open' among the predicates: write"),
    (D, "(open ?p - place)", "(open p - place)", "line 5: the parameter p .*begins with"),
    (D, "(open ?p - place)", "()", "line 5: .*no predicate's name"),
    (D, "(open ?p - place)", "(not ?p - place)", "line 5: .*no predicate's name"),
    (D, "(spent))", "(spent) (at))", "line 6: both a predicate and a function is named 'at'"),
    (D, "(spent))", "(spent) - truck)", "line 6: functions of type truck: only numbers"),
    (D, "(:action drive", "(:action", "an action needs a name"),
    (D, "(:action drive", "(:action fill", "line 12: action 'fill'.*already defined"),
    (
        D,
        ":precondition (and (at ?v ?a)",
        ":preconditions (and (at ?v ?a)",
        r"line 9: action 'drive': :preconditions .*did you mean ':precondition'",
    ),
    (
        D,
        ":effect (assign (fuel ?v) 10)",
        ":effect (assign (fuel ?v) 10) :effect ()",
        "line 14: action 'fill': a second ':effect'",
    ),
    (
        D,
        ":effect (assign (fuel ?v) 10)",
        ":effect",
        "line 14: action 'fill': parentheses are expected behind ':effect'",
    ),
    (
        D,
        "(?v - vehicle ?a ?b - place)",
        "(?v - vehicle ?a ?v - place)",
        r"line 8: the parameter \?v is declared twice",
    ),
    (
        D,
        "(?v - vehicle ?a ?b - place)",
        "(?v - vehicle ?a b - place)",
        "line 8: the parameter b .*begins",
    ),
    (D, "(at ?v ?a) (not", "(at ?v) (not", "line 9: 'at' takes 2 objects, not 1"),
    (D, "(at ?v ?a) (not", "(at ?v ?c) (not", r"line 9: no parameter '\?c' is declared"),
    (D, "(at ?v ?a) (not", "(at ?v mil) (not", "line 9: no object 'mil' is declared"),
    (
        D,
        "(at ?v ?a) (not",
        "(at ?a ?v) (not",
        r"line 9: '\?a' is of type 'place', and 'at' takes 'vehicle'",
    ),
    (
        D,
        "(at ?v ?a) (not",
        "(att ?v ?a) (not",
        r"line 9: no predicate 'att' is declared \(did you mean 'at'",
    ),
    (
        D,
        "(at ?v ?a) (not",
        "(at ?v (way ?a ?b)) (not",
        "line 9: an object or a parameter is expected",
    ),
    (D, "(at ?v ?a) (not", "at (not", "line 9: a condition is expected in parentheses"),
    (D, "(at ?v ?a) (not", "((at ?v ?a)) (not", "line 9: an atom is expected"),
    (D, "(at ?v ?a) (not", "(fuel ?v) (not", "line 9: 'fuel' is a function, not a predicate"),
    (D, "(at ?v ?a) (not", "(assign (fuel ?v) 3) (not", "line 9: 'assign' cannot stand here"),
    (D, "(not (at ?v ?b))", "(not (at ?v ?b) (open ?a))", "line 9: 'not' takes 1 arguments, not 2"),
    (D, "(not (at ?v ?b))", "(not)", "line 9: 'not' takes 1 arguments, not 0"),
    (D, "(not (at ?v ?b))", "(imply (at ?v ?b))", "line 9: 'imply' takes 2 arguments"),
    (D, "(not (at ?v ?b))", "(forall (at ?v ?b))", "line 9: 'forall' takes a list of variables"),
    (D, "(not (at ?v ?b))", "(forall (x - place) (open x))", "line 9: a variable begins with"),
    (
        D,
        "(not (at ?v ?b))",
        "(forall (?x ?x - place) (open ?x))",
        "line 9: a variable is declared twice",
    ),
    (
        D,
        "(not (at ?v ?b))",
        "(forall (?x - plaza) (open ?x))",
        "line 9: type 'plaza' is not declared",
    ),
    (D, "(>= (fuel ?v)", "(=> (fuel ?v)", "line 9: no predicate '=>' is declared"),
    (D, "(>= (fuel ?v)", "(>= (fuel ?v) 3", "line 9: '>=' takes 2 arguments, not 3"),
    (D, "(>= (fuel ?v)", "(>= fuel", "line 9: a number or a function in parentheses"),
    (D, "(>= (fuel ?v)", "(>= (at ?v ?a)", "line 9: 'at' is a predicate, not a function"),
    (
        D,
        "(>= (fuel ?v)",
        "(>= (feul ?v)",
        r"line 9: no function 'feul' is declared \(did you mean 'fuel'",
    ),
    (D, "(+ (way ?a ?b) 1)", "(+ (way ?a ?b))", r"line 9: '\+' takes at least two numbers, not 1"),
    (D, "(+ (way ?a ?b) 1)", "(-)", "line 9: '-' takes at least two numbers, not 0"),
    (D, "(+ (way ?a ?b) 1)", "1,5", "line 9: a number or a function in parentheses"),
    (D, "(+ (way ?a ?b) 1)", "inf", "line 9: a number or a function in parentheses"),
    (D, "(+ (way ?a ?b) 1)", "(% (way ?a ?b) 2)", "line 9: no function '%' is declared"),
    (D, "(+ (way ?a ?b) 1)", "(/ (way ?a ?b) 0)", "line 9: division by zero"),
    (D, "(+ (way ?a ?b) 1)", "(/ 1 (- 1 1))", "line 9: division by zero"),
    (D, "(+ (way ?a ?b) 1)", "()", "line 9: a number or a function is expected"),
    (D, "(decrease (fuel ?v) (way ?a ?b))", "(decrease (fuel ?v))", "line 10: 'decrease' takes 2"),
    (
        D,
        "(decrease (fuel ?v) (way ?a ?b))",
        "(decrease (at ?v ?a) 1)",
        "line 10: 'at' is a predicate: 'decrease' is incompatible",
    ),
    (
        D,
        "(decrease (fuel ?v) (way ?a ?b))",
        "(decrease 3 (fuel ?v))",
        "line 10: 'decrease' changes a function",
    ),
    (
        D,
        "(decrease (fuel ?v) (way ?a ?b))",
        "(decrease (+ (spent) 1) 2)",
        "line 10: 'decrease' changes a function",
    ),
    (
        D,
        "(decrease (fuel ?v) (way ?a ?b))",
        "(or (open ?a) (open ?b))",
        "line 10: 'or' is a condition, not an effect",
    ),
    (
        D,
        "(decrease (fuel ?v) (way ?a ?b))",
        "(>= (fuel ?v) 1)",
        "line 10: '>=' is a condition, not an",
    ),
    (
        D,
        "(decrease (fuel ?v) (way ?a ?b))",
        "open",
        "line 10: an effect is expected in parentheses",
    ),
    (D, "(decrease (fuel ?v) (way ?a ?b))", "(not (not (open ?a)))", "line 10: no predicate 'not'"),
    (P, "(problem p)", "(problem)", "line 1: .*one name"),
    (P, "(:goal", "(:goals", r"line 5: ':goals' is no section of a problem \(did you mean ':goal'"),
    (P, "(:goal (and (at red mill) (<= (spent) 4)))", "", "the problem has no .:goal"),
    (
        P,
        "(:goal (and",
        "(:goal (at red mill) (and",
        "line 5: .:goal ....* holds one condition, not 2",
    ),
    (
        P,
        "(at red mill)",
        "(at red mil)",
        r"line 5: no object 'mil' is declared \(did you mean 'mill'",
    ),
    (P, "(at red mill)", "(at red ?x)", r"line 5: no parameter '\?x' is declared"),
    (P, "mill - place", "mill mill - place", "line 2: object 'mill'.*already defined"),
    (P, "mill - place", "mill - place depot - car", "line 2: object 'depot'.*already defined"),
    (P, "mill - place", "mill - (either place car)", "line 2: object 'mill' has 2 types"),
    (P, "mill - place", "(mill - place)", "line 2: .*give names"),
    (
        P,
        "(at red depot)",
        "(at red depot) (not (at red depot))",
        "line 3: initial state: contradicts line 3",
    ),
    (
        P,
        "(= (fuel red) 2)",
        "(= (fuel red) 2)\n(= (fuel red) 3)",
        "line 4: initial state: contradicts line 3: give one value",
    ),
    (P, "(= (fuel red) 2)", "(= (fuel red) two)", "line 3: a number or a function in"),
    (
        P,
        "(= (fuel red) 2)",
        "(= (fuel red) (way mill depot))",
        "line 3: initial state: the value is no number",
    ),
    (P, "(= (fuel red) 2)", "(= (fuel red))", "line 3: '=' takes 2 arguments, not 1"),
    (P, "(= (fuel red) 2)", "(>= (fuel red) 2)", "line 3: .*"),
    (P, "(= (fuel red) 2)", "fuel red 2", "line 3: initial state: a fact in parentheses"),
    (P, "(= (fuel red) 2)", "(fuel red)", "line 3: 'fuel' is a function, not a predicate"),
    (P, "(= (fuel red) 2)", "(= (at red depot) 2)", "line 3: 'at' is a predicate, not a function"),
    (P, "(= (fuel red) 2)", "(= (+ (fuel red) 1) 2)", "line 3: initial state: a function and its"),
    (P, "(= (fuel red) 2)", "(= (fuel red) (/ 1 0))", "line 3: "),
    (P, "(= (fuel red) 2)", "(or (open mill) (open depot))", "line 3: initial state: a fact or"),
]


@pytest.mark.parametrize(("kind", "old", "new", "named"), REFUSED)
def test_malformed_texts_are_refused_with_their_line(files, kind, old, new, named):
    paths = files(**with_change(kind, old, new))
    with pytest.raises(DatasetError, match=named) as error:
        read_task(*paths)
    assert f"{kind}.pddl" in str(error.value) and "\n" not in str(error.value)
    assert "unified-planning" not in str(error.value)


def test_too_general_a_parameter_is_refused_with_its_line(files):
    paths = files(**with_change(D, "(fuel ?v - vehicle)", "(fuel ?v - car)"))
    with pytest.raises(DatasetError, match=r"line 9: '\?v' is of type 'vehicle', and 'fuel' takes"):
        read_task(*paths)
