"""A domain of vans and a problem in it, and texts that differ from them in one place."""

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
D, P = "domain", "problem"  # which of the two a text replaces


def changed(text, *pairs):
    for old, new in pairs:
        assert old in text, old
        text = text.replace(old, new)
    return text


def with_change(kind, old, new):
    """The domain and the problem, one of them with a text replaced."""
    texts = {D: DOMAIN, P: PROBLEM}
    return texts | {kind: changed(texts[kind], (old, new))}
