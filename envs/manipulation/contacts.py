"""How hard the hand touches anything: forces summed over the contact points of each pair of
geometries.
"""

from __future__ import annotations

from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from worldplan.milp.errors import ConfigError

HAND = "hand"
AXES = np.arange(
    3
)  # a contact's rows in efc_force begin with the force along the normal and the two tangents (elliptic cone)


class ContactMeter:
    """Measures the contact force on the geometries of the body `hand` and of all bodies below it.

    A box on a plane touches at up to four points; what a finger feels is their sum. Forces of
    different opponents are not summed, so that a finger squeezed from both sides does not read as
    free. The sums are those of mj_contactForce, for all substeps of a control step in one go: calls
    per contact and substep would cost more than the physics.

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
        self._in_hand: list[bool] = self._is_hand.tolist()
        self._seen: list[
            tuple[NDArray[Any], ...]
        ] = []  # pairs, frames, addresses and forces of one substep

    def record(self) -> None:
        """Keep what touches what in this substep, if anything touches the hand."""
        contact = self._data.contact
        for first, second in contact.geom.tolist():
            if self._in_hand[first] or self._in_hand[second]:
                self._seen.append(
                    (
                        contact.geom.copy(),
                        contact.frame.copy(),
                        contact.efc_address.copy(),
                        self._data.efc_force.copy(),
                    )
                )
                return

    def largest(self) -> float:
        """N, the largest force between one geometry of the hand and one other geometry in a substep
        since the last call.
        """
        if not self._seen:
            return 0.0
        contacts = [len(pairs) for pairs, *_ in self._seen]
        starts = np.cumsum([0] + [len(forces) for *_, forces in self._seen[:-1]])
        pairs, frames, addresses, forces = (
            np.concatenate(parts) for parts in zip(*self._seen, strict=True)
        )
        self._seen.clear()
        rows = np.flatnonzero(
            self._is_hand[pairs].any(axis=1) & (addresses >= 0)
        )  # an address below 0: near, but without force
        if not len(rows):
            return 0.0
        addresses = addresses + np.repeat(starts, contacts)
        axes = frames[rows].reshape(-1, 3, 3)  # in rows: normal and tangents in the world
        world = np.einsum("ci,cij->cj", forces[addresses[rows, None] + AXES], axes)
        geoms = len(self._is_hand)
        substep_and_pair = (
            np.repeat(np.arange(len(contacts)), contacts)[rows] * geoms + pairs[rows, 0]
        ) * geoms + pairs[rows, 1]
        _, index = np.unique(substep_and_pair, return_inverse=True)
        sums = np.stack([np.bincount(index, world[:, axis]) for axis in AXES])
        return float(np.sqrt((sums**2).sum(axis=0).max()))
