"""Contact forces on the hand, summed over the contact points of each pair of geometries."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldplan.envs.manipulation.simulator import mujoco
from worldplan.milp.errors import ConfigError

HAND = "hand"
# with an elliptic cone, the first rows of a contact in efc_force are the forces along its normal
# and its two tangents
AXES = np.arange(3)


class ContactMeter:
    """Measures the contact force on the geometries of the body `hand` and of all bodies below it.

    A box on a plane touches at up to four points: their forces are summed. Forces from different
    geometries are not, since those on a finger that is squeezed from both sides would cancel.

    The forces are those of mj_contactForce, computed for all substeps of a control step at once:
    calls per contact and substep would cost more than the physics.

    Args:
        model: has the body `hand`.
        data: the simulation.

    Raises:
        ConfigError: the scene has a pyramidal cone or contacts without friction, whose forces are
            laid out in another way.
    """

    def __init__(self, model: mujoco.MjModel, data: mujoco.MjData) -> None:
        if model.opt.cone != mujoco.mjtCone.mjCONE_ELLIPTIC or model.geom_condim.min() < 3:
            raise ConfigError(
                'contact forces are read for cone="elliptic" and condim 3 or more only'
            )
        self._data = data
        root = model.body(HAND).id
        self._is_hand: NDArray[np.bool_] = model.body_rootid[model.geom_bodyid] == root
        self._is_hand_list: list[bool] = self._is_hand.tolist()  # faster for single geometries
        # pairs, frames, addresses and forces of each recorded substep
        self._substeps: list[tuple[NDArray[Any], ...]] = []

    def record(self) -> None:
        """Keep the contacts of this substep if there is one with the hand."""
        contact = self._data.contact
        for first, second in contact.geom.tolist():
            if self._is_hand_list[first] or self._is_hand_list[second]:
                self._substeps.append(
                    (
                        contact.geom.copy(),
                        contact.frame.copy(),
                        contact.efc_address.copy(),
                        self._data.efc_force.copy(),
                    )
                )
                return

    def largest(self) -> float:
        """The largest force, N, between a geometry of the hand and another one in one substep.

        Covers the substeps that were recorded since the last call.
        """
        if not self._substeps:
            return 0.0
        contacts = [len(pairs) for pairs, *_ in self._substeps]
        starts = np.cumsum([0] + [len(forces) for *_, forces in self._substeps[:-1]])
        pairs, frames, addresses, forces = (
            np.concatenate(parts) for parts in zip(*self._substeps, strict=True)
        )
        self._substeps.clear()
        # a contact without force has an address below 0
        rows = np.flatnonzero(self._is_hand[pairs].any(axis=1) & (addresses >= 0))
        if not len(rows):
            return 0.0
        addresses = addresses + np.repeat(starts, contacts)
        axes = frames[rows].reshape(-1, 3, 3)  # rows: normal and tangents in the world
        world = np.einsum("ci,cij->cj", forces[addresses[rows, None] + AXES], axes)
        geoms = len(self._is_hand)
        substep_and_pair = (
            np.repeat(np.arange(len(contacts)), contacts)[rows] * geoms + pairs[rows, 0]
        ) * geoms + pairs[rows, 1]
        _, index = np.unique(substep_and_pair, return_inverse=True)
        sums = np.stack([np.bincount(index, world[:, axis]) for axis in AXES])
        return float(np.sqrt((sums**2).sum(axis=0).max()))
