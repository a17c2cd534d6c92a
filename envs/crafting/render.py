"""Pictures of crafting states, as text and as pixels, drawn with numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldplan.envs.crafting.dynamics import AIR, TABLE, TREE, Dynamics, MapDynamics
from worldplan.envs.crafting.rules import GOAL, ITEMS, TREES

Pixels = NDArray[np.uint8]
TILE = 24  # pixels per cell side
SLOT = 2 * TILE  # pixels per inventory slot: an icon and four digits
BASIC_WIDTH = 4 * SLOT
LETTERS = {AIR: ".", TREE: "T", TABLE: "C"}
GROUND, EDGE, LEAVES, TRUNK, WOOD, DARK, AGENT = (
    (214, 220, 170),
    (190, 198, 148),
    (58, 125, 58),
    (104, 70, 38),
    (168, 120, 66),
    (92, 62, 34),
    (52, 98, 190),
)
STRIP, INK = (40, 40, 44), (240, 240, 240)
ICONS = {
    TREES: LEAVES,
    "log": TRUNK,
    "planks": (205, 164, 104),
    "stick": (150, 110, 60),
    "sack_polyisoprene_pellets": (214, 130, 160),
    "tree_tap": (150, 160, 170),
    "goal": (232, 192, 60),
}
DIGITS = (  # bitmaps of 0 .. 9, 5 rows of 3 pixels each
    "111101101101111",
    "010110010010111",
    "111001111100111",
    "111001111001111",
    "101101111001001",
    "111100111001111",
    "111100111101111",
    "111001010010010",
    "111101111101111",
    "111101111001111",
)


def text(dynamics: Dynamics, state: Any) -> str:
    """The state as text: the map row by row (`C` table, `T` tree, `.` air, brackets around the
    agent's cell), then the inventory. The basic variant has no map.
    """
    inventory = "  ".join(f"{name} {count}" for name, count in _slots(dynamics, state).items())
    if not isinstance(dynamics, MapDynamics):
        return inventory + "\n"
    cells = [LETTERS[int(block)] for block in dynamics.blocks(state)]
    marked = [
        f"[{cell}]" if number == state.position else f" {cell} "
        for number, cell in enumerate(cells)
    ]
    size = dynamics.instance.size
    rows = ["".join(marked[row * size : (row + 1) * size]) for row in range(size)]
    return "\n".join([*rows, inventory, ""])


def pixels(dynamics: Dynamics, state: Any) -> Pixels:
    """The state as an image, uint8 (height, width, 3): the map, with the agent as a disc, above the
    inventory. Amounts above 9999 are shown as 9999.
    """
    if not isinstance(dynamics, MapDynamics):
        return _strip(_slots(dynamics, state), BASIC_WIDTH)
    size = dynamics.instance.size
    blocks = dynamics.blocks(state).reshape(size, size).astype(int)
    block_tiles = np.stack([_tile(block) for block in (AIR, TREE, TABLE)])
    tiles = block_tiles[blocks]  # (row, column, TILE, TILE, 3)
    row, column = divmod(state.position, size)
    tiles[row, column][_disc(TILE * 0.28)] = AGENT
    picture = tiles.transpose(0, 2, 1, 3, 4).reshape(size * TILE, size * TILE, 3)
    return np.concatenate([picture, _strip(_slots(dynamics, state), size * TILE)])


def _slots(dynamics: Dynamics, state: Any) -> dict[str, int]:
    """Name and amount of everything in the inventory strip."""
    trees = {} if isinstance(dynamics, MapDynamics) else {TREES: state.trees}
    items = zip(ITEMS[dynamics.instance.task], state.inventory, strict=True)
    return {**trees, **dict(items), GOAL[dynamics.instance.task]: int(state.reached)}


def _tile(block: int) -> Pixels:
    """The picture of a block (TILE, TILE, 3)."""
    tile = np.empty((TILE, TILE, 3), np.uint8)
    tile[:] = GROUND
    if block == TREE:
        tile[_disc(TILE * 0.45)] = LEAVES
        tile[_disc(TILE * 0.12)] = TRUNK
    elif block == TABLE:
        tile[2:-2, 2:-2] = WOOD
        tile[2:-2, TILE // 2] = tile[TILE // 2, 2:-2] = DARK
    tile[-1], tile[:, -1] = EDGE, EDGE
    return tile


def _disc(radius: float) -> NDArray[np.bool_]:
    """The pixels of a tile within `radius` of its centre: bool (TILE, TILE)."""
    axis = np.arange(TILE) - (TILE - 1) / 2
    disc: NDArray[np.bool_] = np.hypot(axis[:, None], axis) <= radius
    return disc


def _strip(slots: dict[str, int], width: int) -> Pixels:
    """The inventory: an icon and an amount per slot (rows of slots * TILE, width, 3)."""
    per_row = max(1, width // SLOT)
    strip = np.empty((-(-len(slots) // per_row) * TILE, width, 3), np.uint8)
    strip[:] = STRIP
    for slot, (name, count) in enumerate(slots.items()):
        top, left = slot // per_row * TILE, slot % per_row * SLOT
        strip[top + 7 : top + 17, left + 2 : left + 12] = ICONS.get(name, ICONS["goal"])
        for position, digit in enumerate(str(min(count, 9999))):
            shape = (
                np.array(list(DIGITS[int(digit)]), dtype=np.uint8)
                .reshape(5, 3)
                .repeat(2, 0)
                .repeat(2, 1)
                .astype(bool)
            )
            x = left + 15 + 8 * position
            strip[top + 7 : top + 17, x : x + 6][shape] = INK
    return strip
