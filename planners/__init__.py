"""Planners: observations in, decisions out.

A planner of your own derives from `Planner` and defines `plan`. `evaluate` plays whole episodes in
any gymnasium environment and tabulates them; `play` keeps everything that happened. The planners of
this repository stand in one package a family: bandits, numeric, ramp, shooting, offline, modem.
"""

from worldplan.extras import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
