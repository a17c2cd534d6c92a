"""Rules of one clinic: at most six people a day, at most two from each district of five, and a car
for far districts.
"""

import pyomo.environ as pyo


def build(block: pyo.ConcreteModel) -> None:
    """Add constraints on the binary variables block.a[0], block.a[1], ... (one per arm, in the
    order of the rewards file).
    """
    districts = [range(first, first + 5) for first in range(0, len(block.a), 5)]
    block.day = pyo.Constraint(expr=sum(block.a.values()) <= 6)
    block.district = pyo.ConstraintList()
    for arms in districts:
        block.district.add(sum(block.a[arm] for arm in arms) <= 2)
    block.car = pyo.Var(
        range(len(districts)), domain=pyo.Binary
    )  # one car: it goes to one of the two far districts
    block.one_car = pyo.Constraint(expr=block.car[2] + block.car[3] <= 1)
    block.needs_car = pyo.ConstraintList()
    for far in (2, 3):
        block.needs_car.add(sum(block.a[arm] for arm in districts[far]) <= 2 * block.car[far])
