"""PDDL as people write it: odd but legal texts keep their meaning, all others are refused with the
line.
"""

import re

import pytest

from worldplan.milp.errors import DatasetError
from worldplan.world_models.numeric.domain import NumericModel, NumericProblem
from worldplan.world_models.numeric.plan_errors import plan_fault
from worldplan.world_models.pddl.beyond import BeyondModels
from worldplan.world_models.pddl.plans import validate_with_unified_planning
from worldplan.world_models.pddl.tasks import features_beyond, read_task

DOMAIN = """(define (domain van)
(:requirements :typing :fluents)
(:types car truck - vehicle place)
(:constants depot - place)
(:predicates (at ?v - vehicle ?p - place) (open ?p - place))
(:functions (fuel ?v - vehicle) (way ?a ?b - place) (spent))
(:action drive
 :parameters (?v - vehicle ?a ?b - place)
 :precondition (and (at ?v ?a) (not (at ?v ?b)) (>= (fuel ?v) (+ (way ?a ?b) 1)))
 :effect (and (at ?v ?b) (not (at ?v ?a)) (decrease (fuel ?v) (way ?a ?b))
  (increase (spent) (- (way ?a ?b) -1))))
(:action fill :parameters (?v - vehicle)
 :precondition (and (at ?v depot) (<= (fuel ?v) 9))
 :effect (assign (fuel ?v) 10))
)
"""
PROBLEM = """(define (problem p) (:domain van)
(:objects mill - place red - car)
(:init (at red depot) (= (fuel red) 2) (= (spent) 0)
 (= (way depot mill) 3) (= (way mill depot) 0.5))
(:goal (and (at red mill) (<= (spent) 4)))
)
"""
PLAN = [("fill", "red"), ("drive", "red", "depot", "mill")]
SHORT = [("drive", "red", "depot", "mill")]


@pytest.fixture
def read(tmp_path):
    """Writes two texts, reads them, and lets the independent validator judge two plans as well."""

    def check(domain=DOMAIN, problem=PROBLEM):
        files = tmp_path / "domain.pddl", tmp_path / "problem.pddl"
        for file, text in zip(files, (domain, problem), strict=True):
            file.write_text(text, encoding="utf-8")
        model, task = read_task(*files)
        for plan in (PLAN, SHORT):
            fault = plan_fault(model, task, plan)
            assert validate_with_unified_planning(*files, plan).valid == (fault is None), fault
        assert plan_fault(model, task, PLAN) is None and plan_fault(model, task, SHORT)
        return model, task

    return check


def changed(text, *pairs):
    for old, new in pairs:
        assert old in text, old
        text = text.replace(old, new)
    return text


def section(head, text=DOMAIN):
    """A section of a text, with its parentheses."""
    start = text.index(f"({head}")
    depth = 0
    for end in range(start, len(text)):
        depth += {"(": 1, ")": -1}.get(text[end], 0)
        if not depth:
            return text[start : end + 1]
    raise AssertionError(head)


ORDER = ("(:action fill", "(:functions", "(:predicates", "(:constants", "(:types", "(:requirements")
BACKWARDS = (
    "(define (domain van)\n"
    + "\n".join(section(head[1:]) for head in (ORDER[0], "(:action drive", *ORDER[1:]))
    + ")"
)

FILL_PRE = " :precondition (and (at ?v depot) (<= (fuel ?v) 9))"
FILL_EFFECT = " :effect (assign (fuel ?v) 10)"
FILL = f"{FILL_PRE}\n{FILL_EFFECT}"
assert FILL in DOMAIN

SAME = {  # texts with the meaning of DOMAIN and PROBLEM
    "sections backwards": (BACKWARDS, PROBLEM),
    "problem backwards": (
        DOMAIN,
        "(define (problem p)"
        + "".join(section(h, PROBLEM) for h in (":goal", ":init", ":objects", ":domain"))
        + ")",
    ),
    "no requirements": (changed(DOMAIN, ("(:requirements :typing :fluents)\n", "")), PROBLEM),
    "unusual requirements": (
        changed(DOMAIN, (":typing :fluents", ":numeric-fluents :strips :wishes")),
        PROBLEM,
    ),
    "capitals": (DOMAIN.upper(), PROBLEM.upper()),
    "byte-order mark": ("\ufeff" + DOMAIN, "\ufeff" + PROBLEM),
    "carriage returns": (DOMAIN.replace("\n", "\r\n"), PROBLEM.replace("\n", "\r\n")),
    "comments": (
        "; (first) )\n" + DOMAIN.replace("\n", " ; a (comment\n"),
        PROBLEM.replace("\n", ";; with ) and \" and '\n") + "; no line end",
    ),
    "one line": (DOMAIN.replace("\n", " "), PROBLEM.replace("\n", " ")),
    "tabs": (DOMAIN.replace(" ", "\t"), PROBLEM.replace(" ", "\t\n")),
    "blanks everywhere": (
        re.sub(r"([()])", r" \1 ", DOMAIN),
        re.sub(r"([()])", r" \1 ", PROBLEM),
    ),
    "no blanks": (DOMAIN.replace(" ?", "?").replace(") (", ")("), PROBLEM.replace(") (", ")(")),
    "no blank before a type": (DOMAIN.replace("- ", "-").replace("--1)", "- -1)"), PROBLEM),
    "unary minus": (changed(DOMAIN, ("(- (way ?a ?b) -1)", "(- (way ?a ?b) (- 1))")), PROBLEM),
    "unary minus of a fluent": (
        changed(
            DOMAIN, ("(decrease (fuel ?v) (way ?a ?b))", "(increase (fuel ?v) (- (way ?a ?b)))")
        ),
        PROBLEM,
    ),
    "three-ary minus": (changed(DOMAIN, ("(- (way ?a ?b) -1)", "(- (way ?a ?b) 1 -2)")), PROBLEM),
    "four-ary plus": (changed(DOMAIN, ("(+ (way ?a ?b) 1)", "(+ 2 (way ?a ?b) -2 1)")), PROBLEM),
    "three-ary product": (
        changed(DOMAIN, ("(+ (way ?a ?b) 1)", "(+ (* 2 (way ?a ?b) 0.5) 1)")),
        PROBLEM,
    ),
    "three-ary quotient": (
        changed(DOMAIN, ("(+ (way ?a ?b) 1)", "(+ (/ (* (way ?a ?b) 6) 2 3) 1)")),
        PROBLEM,
    ),
    "a constant sum": (
        changed(DOMAIN, ("(way ?a ?b) 1)", "(way ?a ?b) (- (+ 1 2 3) (* 1 5)))")),
        PROBLEM,
    ),
    "plus sign": (changed(DOMAIN, ("(way ?a ?b) 1)", "(way ?a ?b) +1)")), PROBLEM),
    "number with a point": (changed(DOMAIN, ("(way ?a ?b) 1)", "(way ?a ?b) 1.)")), PROBLEM),
    "number with an exponent": (changed(DOMAIN, ("(way ?a ?b) 1)", "(way ?a ?b) 10e-1)")), PROBLEM),
    "functions of type number": (changed(DOMAIN, ("(spent))", "(spent) - number)")), PROBLEM),
    "a function without parentheses": (
        changed(DOMAIN, ("(increase (spent)", "(increase spent")),
        PROBLEM,
    ),
    "the root declared": (
        changed(DOMAIN, ("(:types ", "(:types object vehicle place - object ")),
        PROBLEM,
    ),
    "a parent that is not listed": (
        changed(DOMAIN, ("vehicle place)", "vehicle place - object)")),
        PROBLEM,
    ),
    "a type listed twice": (
        changed(DOMAIN, ("vehicle place)", "vehicle place car - vehicle)")),
        PROBLEM,
    ),
    "either of siblings": (
        changed(DOMAIN, ("?v - vehicle", "?v - (either car truck)")),
        PROBLEM,
    ),
    "either in an action": (
        changed(
            DOMAIN,
            ("fill :parameters (?v - vehicle)", "fill :parameters (?v - (either truck car))"),
        ),
        PROBLEM,
    ),
    "either of a type and its parent": (
        changed(
            DOMAIN,
            ("fill :parameters (?v - vehicle)", "fill :parameters (?v - (either vehicle car))"),
        ),
        PROBLEM,
    ),
    "either of one": (
        changed(DOMAIN, ("(fuel ?v - vehicle)", "(fuel ?v - (either vehicle))")),
        PROBLEM,
    ),
    "goal over an either": (
        DOMAIN,
        changed(PROBLEM, ("(at red mill)", "(forall (?v - (either car truck)) (at ?v mill))")),
    ),
    "empty and": (
        changed(DOMAIN, ("(not (at ?v ?b))", "(not (at ?v ?b)) (and) (and (and))")),
        PROBLEM,
    ),
    "empty list": (changed(DOMAIN, ("(not (at ?v ?b))", "(not (at ?v ?b)) ()")), PROBLEM),
    "nested and": (changed(DOMAIN, ("(and (at ?v ?a)", "(and (and (and (at ?v ?a)))")), PROBLEM),
    "or of one": (changed(DOMAIN, ("(and (at ?v ?a)", "(and (or (at ?v ?a))")), PROBLEM),
    "double negation": (
        changed(DOMAIN, ("(and (at ?v ?a)", "(and (not (not (at ?v ?a)))")),
        PROBLEM,
    ),
    "negated disjunction": (
        changed(DOMAIN, ("(not (at ?v ?b))", "(not (or (at ?v ?b) (open ?a)))")),
        PROBLEM,
    ),
    "negated implication": (
        changed(DOMAIN, ("(and (at ?v ?a)", "(and (not (imply (at ?v ?a) (open ?a)))")),
        PROBLEM,
    ),
    "quantified precondition": (
        changed(
            DOMAIN, ("(not (at ?v ?b))", "(not (at ?v ?b)) (forall (?p - place) (not (open ?p)))")
        ),
        PROBLEM,
    ),
    "negated exists": (
        changed(DOMAIN, ("(not (at ?v ?b))", "(not (exists (?p - place ?q - place) (open ?p)))")),
        PROBLEM,
    ),
    "quantified effect": (
        changed(
            DOMAIN,
            (
                "(at ?v ?b) (not (at ?v ?a))",
                "(at ?v ?b) (not (at ?v ?a)) (forall (?p - place) (open ?p))",
            ),
        ),
        PROBLEM,
    ),
    "quantified over nothing": (
        changed(DOMAIN, ("(not (at ?v ?b))", "(forall (?t - truck) (at ?t ?a))")),
        PROBLEM,
    ),
    "effect before precondition": (DOMAIN.replace(FILL, f"{FILL_EFFECT}\n{FILL_PRE}"), PROBLEM),
    "not listed is false": (
        DOMAIN,
        changed(PROBLEM, ("(at red depot)", "(at red depot) (not (open mill))")),
    ),
    "a fact twice": (DOMAIN, changed(PROBLEM, ("(at red depot)", "(at red depot) (at red depot)"))),
    "a value twice": (
        DOMAIN,
        changed(PROBLEM, ("(= (fuel red) 2)", "(= (fuel red) 2) (= (fuel red) 2.0)")),
    ),
    "value first": (DOMAIN, changed(PROBLEM, ("(= (fuel red) 2)", "(= 2 (fuel red))"))),
    "a quotient as value": (DOMAIN, changed(PROBLEM, ("0.5)", "(/ 1 2))"))),
    "a negated value": (DOMAIN, changed(PROBLEM, ("(= (spent) 0)", "(= (spent) (- 1))"))),
    "a metric": (DOMAIN, changed(PROBLEM, ("(:goal", "(:metric minimize (spent)) (:goal"))),
    "init in an and": (DOMAIN, changed(PROBLEM, ("(:init", "(:init (and"), ("0.5))", "0.5)))"))),
    "constant listed as object": (DOMAIN, changed(PROBLEM, ("mill - place", "mill depot - place"))),
    "a predicate's parameters with one name": (
        changed(DOMAIN, ("(way ?a ?b - place)", "(way ?a - place ?a - place)")),
        PROBLEM,
    ),
    "empty sections": (DOMAIN, changed(PROBLEM, ("(:objects", "(:requirements) (:objects"))),
}


@pytest.mark.parametrize("name", SAME)
def test_odd_texts_keep_their_meaning(read, name):
    model, task = read(*SAME[name])
    assert isinstance(model, NumericModel) and isinstance(task, NumericProblem)
    words = model.vocabulary
    parameters = [part for pairs in words.actions.values() for pair in pairs for part in pair]
    names = [words.name, *words.predicates, *words.functions, *words.actions, *parameters]
    names += [*words.types, *words.types.values(), *words.constants, *words.constants.values()]
    for kinds in (*words.predicates.values(), *words.functions.values()):
        names += kinds
    assert {type(entry) for entry in (*names, *task.objects, *task.objects.values())} == {str}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("red", "2nd-van"),
        ("mill", "mühle"),
        ("red", "van#1"),
        ("mill", "a.b/c"),
        ("red", "_x"),
        ("red", "zz-1"),
    ],
)
def test_names_that_pddl_does_not_allow_stay_as_they_are(tmp_path, old, new):
    files = tmp_path / "domain.pddl", tmp_path / "problem.pddl"
    files[0].write_text(DOMAIN, encoding="utf-8")
    files[1].write_text(PROBLEM.replace(old, new), encoding="utf-8")
    model, task = read_task(*files)
    assert new in task.objects and old not in task.objects
    plan = [tuple(new if part == old else part for part in step) for step in PLAN]
    assert plan_fault(model, task, plan) is None
    assert validate_with_unified_planning(*files, plan).valid
    assert new in validate_with_unified_planning(*files, plan[1:]).reason or old == "mill"


D, P = "domain", "problem"
REFUSED = [  # (file, old, new, what the message has)
    (
        D,
        "(define (domain van)",
        "(define (problem van)",
        "line 1: Expected 'domain', not 'problem'",
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
def test_malformed_texts_are_refused_with_their_line(tmp_path, kind, old, new, named):
    files = tmp_path / "domain.pddl", tmp_path / "problem.pddl"
    texts = {D: DOMAIN, P: PROBLEM}
    texts[kind] = changed(texts[kind], (old, new))
    for file, text in zip(files, texts.values(), strict=True):
        file.write_text(text, encoding="utf-8")
    with pytest.raises(DatasetError, match=named) as error:
        read_task(*files)
    assert f"{kind}.pddl" in str(error.value) and "\n" not in str(error.value)
    assert "unified-planning" not in str(error.value)


def test_too_general_a_parameter_is_refused_with_its_line(read):
    text = changed(DOMAIN, ("(fuel ?v - vehicle)", "(fuel ?v - car)"))
    with pytest.raises(DatasetError, match=r"line 9: '\?v' is of type 'vehicle', and 'fuel' takes"):
        read(text)


BEYOND = [
    (D, "(not (at ?v ?b))", "(or (at ?v ?b) (open ?b))", "line 9: action 'drive': a disjunction"),
    (
        D,
        "(not (at ?v ?b))",
        "(imply (at ?v ?b) (open ?b))",
        "line 9: action 'drive': a disjunction",
    ),
    (D, "(not (at ?v ?b))", "(not (and (at ?v ?b) (open ?b)))", "line 9: .*a disjunction"),
    (D, "(not (at ?v ?b))", "(exists (?p - place) (open ?p))", "line 9: .*a quantifier"),
    (D, "(not (at ?v ?b))", "(= ?a ?b)", "line 9: .*the same object"),
    (D, "(not (at ?v ?b))", "(not (= (fuel ?v) 3))", "line 9: .*must differ"),
    (D, "(+ (way ?a ?b) 1)", "(* (fuel ?v) (spent))", "line 9: .*'fuel' and 'spent'"),
    (D, "(+ (way ?a ?b) 1)", "(/ 1 (fuel ?v))", "line 9: .*division by a fluent.*'fuel'"),
    (
        D,
        "(decrease (fuel ?v) (way ?a ?b))",
        "(scale-up (fuel ?v) (spent))",
        "line 10: .*'fuel' and 'spent'",
    ),
    (
        D,
        "(decrease (fuel ?v) (way ?a ?b))",
        "(when (open ?a) (open ?b))",
        "line 10: .*a conditional",
    ),
    (
        D,
        "(:action fill",
        "(:durative-action slow :parameters ()) (:action fill",
        "line 12: a durative action is beyond",
    ),
    (
        D,
        "(:action fill",
        "(:derived (open ?p) (at red ?p)) (:action fill",
        "line 12: a derived predicate is beyond",
    ),
    (D, "(:action fill", "(:process p) (:action fill", "line 12: a process is beyond"),
    (D, "(:action fill", "(:event p) (:action fill", "line 12: an event is beyond"),
    (
        P,
        "(at red depot)",
        "(at red depot) (at 5 (open mill))",
        "line 3: a timed initial literal is beyond",
    ),
    (P, "(:goal", "(:constraints (always (open mill))) (:goal", "line 5: trajectory constraints"),
    (P, "(at red mill)", "(or (at red mill) (at red depot))", "line 5: a disjunction"),
    (P, "(<= (spent) 4)", "(<= (* (spent) (fuel red)) 4)", "line 5: .*'spent' and 'fuel'"),
]


@pytest.mark.parametrize(("kind", "old", "new", "named"), BEYOND)
def test_what_the_models_cannot_represent_is_named_with_its_line(tmp_path, kind, old, new, named):
    files = tmp_path / "domain.pddl", tmp_path / "problem.pddl"
    texts = {D: DOMAIN, P: PROBLEM}
    texts[kind] = changed(texts[kind], (old, new))
    for file, text in zip(files, texts.values(), strict=True):
        file.write_text(text, encoding="utf-8")
    with pytest.raises(BeyondModels, match=named) as error:
        read_task(*files)
    assert f"{kind}.pddl: line" in str(error.value)
    assert [entry.line for entry in features_beyond(*files)] == [
        int(re.findall(r"line (\d+)", str(error.value))[0])
    ]
