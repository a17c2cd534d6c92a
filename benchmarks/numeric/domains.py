"""Three numeric domains with generators of problems, for `ramp_domains.py`.

The domains are those of arXiv 2604.08685, written anew: counters with rates, depots with loads, and
sailing (the fourth, the pogo stick, is `worldplan.envs.crafting`). The sizes are those of the small
problems that come with Numeric PDDLGym: 3 counters up to 100; 1 depot and 1 distributor with 3
pallets, crates and hoists and 1 truck; 1 boat and 2 persons. The problems are drawn here, so they
are not the same ones.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

COUNTERS = """
(define (domain counters) (:requirements :typing :fluents)
  (:types counter)
  (:functions (value ?c - counter) (rate ?c - counter) (largest))
  (:action increment :parameters (?c - counter)
    :precondition (<= (+ (value ?c) (rate ?c)) (largest))
    :effect (increase (value ?c) (rate ?c)))
  (:action decrement :parameters (?c - counter)
    :precondition (>= (- (value ?c) (rate ?c)) 0)
    :effect (decrease (value ?c) (rate ?c)))
  (:action faster :parameters (?c - counter)
    :precondition (<= (rate ?c) 9) :effect (increase (rate ?c) 1))
  (:action slower :parameters (?c - counter)
    :precondition (>= (rate ?c) 1) :effect (decrease (rate ?c) 1)))
"""
DEPOTS = """
(define (domain depots) (:requirements :typing :fluents)
  (:types place locatable - object depot distributor - place
          truck hoist surface - locatable pallet crate - surface)
  (:predicates (at ?x - locatable ?p - place) (on ?c - crate ?s - surface)
    (in ?c - crate ?t - truck) (lifting ?h - hoist ?c - crate) (available ?h - hoist)
    (clear ?s - surface))
  (:functions (load-limit ?t - truck) (load-now ?t - truck) (weight ?c - crate) (fuel))
  (:action drive :parameters (?t - truck ?a ?b - place) :precondition (at ?t ?a)
    :effect (and (not (at ?t ?a)) (at ?t ?b) (increase (fuel) 10)))
  (:action lift :parameters (?h - hoist ?c - crate ?s - surface ?p - place)
    :precondition (and (at ?h ?p) (available ?h) (at ?c ?p) (on ?c ?s) (clear ?c))
    :effect (and (not (at ?c ?p)) (lifting ?h ?c) (not (clear ?c)) (not (available ?h)) (clear ?s)
                 (not (on ?c ?s)) (increase (fuel) 1)))
  (:action drop :parameters (?h - hoist ?c - crate ?s - surface ?p - place)
    :precondition (and (at ?h ?p) (at ?s ?p) (clear ?s) (lifting ?h ?c))
    :effect (and (available ?h) (not (lifting ?h ?c)) (at ?c ?p) (not (clear ?s)) (clear ?c)
                 (on ?c ?s)))
  (:action load :parameters (?h - hoist ?c - crate ?t - truck ?p - place)
    :precondition (and (at ?h ?p) (at ?t ?p) (lifting ?h ?c)
                       (<= (+ (load-now ?t) (weight ?c)) (load-limit ?t)))
    :effect (and (not (lifting ?h ?c)) (in ?c ?t) (available ?h)
                 (increase (load-now ?t) (weight ?c))))
  (:action unload :parameters (?h - hoist ?c - crate ?t - truck ?p - place)
    :precondition (and (at ?h ?p) (at ?t ?p) (available ?h) (in ?c ?t))
    :effect (and (not (in ?c ?t)) (not (available ?h)) (lifting ?h ?c)
                 (decrease (load-now ?t) (weight ?c)))))
"""
MOVES = {  # of a boat: change of x and of y
    "north-east": (1.5, 1.5),
    "north-west": (-1.5, 1.5),
    "east": (3, 0),
    "west": (-3, 0),
    "south-west": (2, -2),
    "south-east": (-2, -2),
    "south": (0, -2),
}
SAILING = (
    """
(define (domain sailing) (:requirements :typing :fluents)
  (:types boat person)
  (:predicates (saved ?p - person))
  (:functions (x ?b - boat) (y ?b - boat) (d ?p - person))
"""
    + "".join(
        f"  (:action go-{name} :parameters (?b - boat)\n"
        f"    :effect (and (increase (x ?b) {dx}) (increase (y ?b) {dy})))\n"
        for name, (dx, dy) in MOVES.items()
    )
    + """  (:action save :parameters (?b - boat ?p - person)
    :precondition (and (>= (+ (x ?b) (y ?b)) (d ?p)) (>= (- (y ?b) (x ?b)) (d ?p))
      (<= (+ (x ?b) (y ?b)) (+ (d ?p) 25)) (<= (- (y ?b) (x ?b)) (+ (d ?p) 25)))
    :effect (saved ?p)))
"""
)


def counters(rng: np.random.Generator) -> str:
    """Three counters from 0 to 100 that must increase strictly."""
    names = [f"c{number}" for number in range(3)]
    values = rng.integers(0, 101, 3)
    while values[0] < values[1] < values[2]:  # solved already
        values = rng.integers(0, 101, 3)
    start = " ".join(
        f"(= (value {name}) {value}) (= (rate {name}) 0)"
        for name, value in zip(names, values, strict=True)
    )
    goal = " ".join(
        f"(<= (+ (value {a}) 1) (value {b}))" for a, b in zip(names, names[1:], strict=False)
    )
    return (
        f"(define (problem counters-{'-'.join(map(str, values))}) (:domain counters) "
        f"(:objects {' '.join(names)} - counter) (:init {start} (= (largest) 100)) "
        f"(:goal (and {goal})))"
    )


def depots(rng: np.random.Generator) -> str:
    """Three crates on three pallets in two places; two crates are to stand on given surfaces."""
    places = ["depot0", "distributor0"]
    where = [places[0], places[1], places[int(rng.integers(2))]]
    facts = [f"(at pallet{i} {where[i]})" for i in range(3)]
    facts += [f"(at hoist{i} {where[i]}) (available hoist{i})" for i in range(3)]
    facts += [f"(at truck0 {places[int(rng.integers(2))]})"]
    order = rng.permutation(3)
    top = {f"pallet{i}": f"pallet{i}" for i in range(3)}
    below: dict[str, str] = {}
    for i in order:
        pallet = f"pallet{int(rng.integers(3))}"
        crate, place = f"crate{i}", where[int(pallet[-1])]
        facts += [f"(at {crate} {place})", f"(on {crate} {top[pallet]})"]
        below[crate], top[pallet] = top[pallet], crate
    facts += [f"(clear {surface})" for surface in top.values()]
    numbers = [f"(= (weight crate{i}) {int(rng.integers(1, 100))})" for i in range(3)]
    numbers += [
        f"(= (load-limit truck0) {int(rng.integers(250, 500))})",
        "(= (load-now truck0) 0) (= (fuel) 0)",
    ]
    goals = below
    while any(goals[crate] == below[crate] for crate in goals):
        first, second, _ = (f"crate{i}" for i in rng.permutation(3))
        goals = {first: f"pallet{int(rng.integers(3))}", second: first}
    goal = " ".join(f"(on {crate} {surface})" for crate, surface in goals.items())
    return (
        f"(define (problem depots-{int(rng.integers(10**6))}) (:domain depots) "
        "(:objects depot0 - depot distributor0 - distributor truck0 - truck "
        "pallet0 pallet1 pallet2 - pallet crate0 crate1 crate2 - crate "
        "hoist0 hoist1 hoist2 - hoist) "
        f"(:init {' '.join(facts)} {' '.join(numbers)}) (:goal (and {goal})))"
    )


def sailing(rng: np.random.Generator) -> str:
    """A boat at x from -10 to 10, and two persons at depths from 0 to 2."""
    x, depths = int(rng.integers(-10, 11)), rng.integers(0, 3, 2)
    return (
        f"(define (problem sailing-{x}-{'-'.join(map(str, depths))}) (:domain sailing) "
        f"(:objects b0 - boat p0 p1 - person) (:init (= (x b0) {x}) (= (y b0) 0) "
        f"(= (d p0) {depths[0]}) (= (d p1) {depths[1]})) (:goal (and (saved p0) (saved p1))))"
    )


DOMAINS: dict[str, tuple[str, Callable[[np.random.Generator], str]]] = {
    "counters": (COUNTERS, counters),
    "depots": (DEPOTS, depots),
    "sailing": (SAILING, sailing),
}


def problems_of(domain: str, seed: int, count: int) -> list[str]:
    """Different problems of a domain, as PDDL texts; the same for every method."""
    rng = np.random.default_rng([seed, list(DOMAINS).index(domain)])
    texts: dict[str, None] = {}
    while len(texts) < count:
        texts[DOMAINS[domain][1](rng)] = None
    return list(texts)
