"""A small delivery domain as PDDL text, with problems of any size."""

from __future__ import annotations

from pathlib import Path

DELIVERY = """
(define (domain delivery)
  (:requirements :typing :fluents :negative-preconditions)
  (:types place vehicle - object van bike - vehicle)
  (:constants depot - place)
  (:predicates (at ?v - vehicle ?p - place) (road ?from ?to - place) (served ?p - place))
  (:functions (battery ?v - vehicle) (parcels ?v - vehicle) (need ?p - place) (total-cost))
  (:action move
    :parameters (?v - vehicle ?from ?to - place)
    :precondition (and (at ?v ?from) (road ?from ?to) (>= (battery ?v) 2.5))
    :effect (and (not (at ?v ?from)) (at ?v ?to) (decrease (battery ?v) 2.5)
                 (increase (total-cost) 3)))
  (:action fill
    :parameters (?v - vehicle)
    :precondition (and (at ?v depot) (<= (parcels ?v) 3))
    :effect (and (increase (parcels ?v) 1) (assign (battery ?v) 10) (increase (total-cost) 1)))
  (:action serve
    :parameters (?v - vehicle ?p - place)
    :precondition (and (at ?v ?p) (not (served ?p)) (>= (parcels ?v) (need ?p)))
    :effect (and (served ?p) (decrease (parcels ?v) (need ?p)) (increase (total-cost) 1)))
)
"""


def delivery_problem(places: int, name: str = "", needs: int = 1, vans: int = 1) -> str:
    """A problem with places in a row from the depot, all of which are to be served."""
    houses = [f"house{number}" for number in range(1, places + 1)]
    row = ["depot", *houses]
    roads = [pair for a, b in zip(row, row[1:], strict=False) for pair in ((a, b), (b, a))]
    drivers = [f"van{number}" for number in range(vans)]
    starts = [f"(at {van} depot) (= (battery {van}) 10) (= (parcels {van}) 0)" for van in drivers]
    return f"""
(define (problem {name or f"houses-{places}"}) (:domain delivery)
  (:objects {" ".join(houses)} - place {" ".join(drivers)} - van)
  (:init {" ".join(starts)}
    {" ".join(f"(road {a} {b})" for a, b in roads)} (= (need depot) 0) (= (total-cost) 0)
    {" ".join(f"(= (need {house}) {needs})" for house in houses)})
  (:goal (and {" ".join(f"(served {house})" for house in houses)} (>= (battery van0) 1)))
  (:metric minimize (total-cost)))
"""


def delivery_files(folder: Path, *places: int) -> tuple[Path, list[Path]]:
    """The domain and problems of these sizes as files in a folder."""
    domain = folder / "delivery.pddl"
    domain.write_text(DELIVERY)
    files = []
    for count in places:
        files.append(folder / f"houses{count}.pddl")
        files[-1].write_text(delivery_problem(count))
    return domain, files
