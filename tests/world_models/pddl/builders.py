"""What the tests of PDDL share: a domain, a problem in it, and comparisons."""

from worldplan.world_models.numeric.domain import (
    Comparison,
    Linear,
)

DOMAIN = """(define (domain Tank) ; names are in any case
(:requirements :strips :typing :fluents)
(:types tank Truck - place place)
(:constants Main - tank)
(:predicates (open ?x - tank) (near ?x ?y - place))
(:functions (level ?x - tank) (cap ?x - tank) - number (total-cost) - number)
(:action POUR :parameters (?a ?b - tank)
 :precondition (and (open ?a) (not (open ?b)) (not (= ?a ?b)) (not (= ?a main)) (>= (level ?a) 0.1)
 (> (cap ?b) (+ (level ?b) (* 2 (level ?a)))) (not (< (level ?b) 1e-3)) (= (* 3 (cap ?a)) (cap ?b)))
 :effect (and (not (open ?a)) (open ?b) (decrease (level ?a) (/ 1 3)) (scale-up (level ?b) 2)
   (increase (total-cost) 1)))
(:action twist :parameters (?a ?b - tank)
 :effect (and (increase (level ?a) 1) (decrease (level ?b) (- (cap ?b) 2))))
(:action half :parameters (?a - tank) :effect (scale-down (level ?a)
   (* 2 1)))
(:action wait :parameters () :precondition () :effect ())
)
"""


PROBLEM = """(define (problem p1) (:domain tank) (:objects t1 t2 - tank x - truck)
(:init (open t1) (near t1 x) (= (level t1) 0.5)
 (= (level t2) -3) (= (cap t1) (/ 1 3)) (not (open t2)))
(:goal (and (forall (?x - tank) (open ?x)) (not (near x t1)) (= (level t1) 2)))
(:metric minimize (total-cost)))
"""


def at_least(terms, constant, relation=">="):
    return Comparison(Linear(tuple(terms), constant), relation)
