"""The settings of SEQUOIA's learning.

They do not import torch, so a scenario without SEQUOIA starts about a second earlier.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from worldplan.envs.bandits.environment import BanditInstance
from worldplan.milp.errors import ConfigError
from worldplan.milp.settings_check import check_fields
from worldplan.nearest import did_you_mean


def refuse_unsuited(instance: BanditInstance, network: str) -> None:
    """Refuse a programme whose returns a kind of network cannot learn.

    Args:
        instance: the programme.
        network: "state", "shared" or "plain".

    Raises:
        ConfigError: the programme has no end; an arm has an end of its own, and the network does
            not see the steps to go; or the network is shared, and there is a discount or an end.
    """
    if instance.endless:
        raise ConfigError(
            "programme.endless: SEQUOIA and the DQN policies learn returns of programmes with an "
            "end: choose others in `policies`, such as fluid and whittle"
        )
    if instance.ends is not None and network == "plain":
        raise ConfigError(
            "programme.ends: iterative_dqn, repaired_dqn, sequoia_paper and the network 'plain' do "
            "not see the steps to go, so that they cannot learn who has ended: choose others in "
            "`policies`, such as sequoia, fluid and whittle"
        )
    if network == "shared" and (instance.ends is not None or instance.discount < 1):
        name = "discount" if instance.ends is None else "ends"
        raise ConfigError(
            f"programme.{name}: a shared network learns returns without discount of arms that "
            "count to the horizon: set sequoia.network to state, or choose fluid or whittle"
        )


@dataclass(frozen=True)
class SequoiaSettings:
    """Every number of the learning.

    Args:
        network: "state" (action weights from tables by arm, state and steps to go), "shared" (one
            function of an arm's features for all arms, whose checkpoint also decides for other
            clients) or "plain" (the paper's MLP).
        hidden: widths of the ReLU layers.
        pretrain: start and targets of the first phase: "best" (of the fluid relaxation, the prices
            of the hull or the joint bound, Whittle indices and one-step rewards, whichever earns
            most in simulated episodes; a later network must beat it in checks), "fluid", "myopic"
            or "none".
        pretrain_steps: gradient steps of the first phase.
        solves: fluid programs behind the "fluid" targets.
        updates: gradient steps of Q-learning.
        updates_per_step: gradient steps for each step of the simulated episodes.
        episodes: episodes simulated side by side.
        replay: transitions kept.
        batch: states per gradient step.
        learning_rate: of the first phase.
        fine_learning_rate: of Q-learning.
        rate_decay: factor on the learning rate of Q-learning after each `horizon` updates; with 1
            it declines linearly instead.
        coverage: states of the first phase and of new episodes: "all" (the whole state space) or
            "start" (the start distribution).
        discount: 1 if the network sees the steps to go ("state"), below 1 if it does not.
        target_rate: weight of the online network in each update of the target network.
        explore: share of random actions at the start and at the end, falling exponentially.
        argmax: "pool" (batched search), "milp" (exact, as published) or "greedy" (component by
            component).
        pool: feasible actions in the pool.
        check_every: gradient steps between checks with exact MILP decisions.
        check_episodes: episodes of a check.

    Raises:
        ConfigError: a setting is unknown or out of range.
    """

    network: str = "state"
    hidden: tuple[int, ...] = (16, 32)
    pretrain: str = "best"
    pretrain_steps: int = 1000
    solves: int = 32
    updates: int = 1000
    updates_per_step: int = 2
    episodes: int = 64
    replay: int = 20_000
    batch: int = 128
    learning_rate: float = 2e-3
    fine_learning_rate: float = 3e-4
    rate_decay: float = 1.0
    coverage: str = "all"
    discount: float = 1.0
    target_rate: float = 0.01
    explore: tuple[float, float] = (0.2, 0.05)
    argmax: str = "pool"
    pool: int = 1500
    check_every: int = 500
    check_episodes: int = 16

    def __post_init__(self) -> None:
        check_fields(self, "sequoia.")
        choices = {
            "network": ("state", "shared", "plain"),
            "pretrain": ("best", "fluid", "myopic", "none"),
            "argmax": ("pool", "milp", "greedy"),
            "coverage": ("all", "start"),
        }
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                near = did_you_mean(str(getattr(self, name)), allowed)
                raise ConfigError(
                    f"sequoia.{name} is '{getattr(self, name)}'{near}: "
                    f"choose from {', '.join(allowed)}"
                )
        if not 0 < self.discount <= 1 or (self.discount == 1 and self.network == "plain"):
            raise ConfigError(
                f"sequoia.discount is {self.discount}: "
                "a plain network, which does not see the steps to go, needs a discount below 1"
            )
        if self.network == "shared" and self.argmax != "pool":
            raise ConfigError(
                f"sequoia.argmax is '{self.argmax}': a shared network, whose values are sums over "
                "the arms, needs pool (its decisions and checks are exact)"
            )
        self._check_numbers()

    def _check_numbers(self) -> None:
        """Refuse numbers out of range.

        Raises:
            ConfigError: names the setting.
        """
        for name in (
            "solves",
            "updates_per_step",
            "episodes",
            "batch",
            "pool",
            "check_every",
            "check_episodes",
        ):
            if getattr(self, name) < 1:
                raise ConfigError(f"sequoia.{name} is {getattr(self, name)}: give at least 1")
        if not self.hidden or min(self.hidden) < 1:
            raise ConfigError(
                f"sequoia.hidden is {list(self.hidden)}: "
                "give the width of at least one layer, each at least 1"
            )
        if min(self.pretrain_steps, self.updates) < 0 or self.pretrain_steps + self.updates < 1:
            raise ConfigError(
                f"sequoia.pretrain_steps is {self.pretrain_steps} and updates {self.updates}: "
                "give 0 or more, and not 0 for both"
            )
        if self.replay < self.episodes:
            raise ConfigError(
                f"sequoia.replay is {self.replay}: "
                f"it must hold one step of all {self.episodes} episodes at least"
            )
        for name in ("learning_rate", "fine_learning_rate"):
            if not 0 < getattr(self, name) < float("inf"):
                raise ConfigError(
                    f"sequoia.{name} is {getattr(self, name)}: give a positive number"
                )
        if not 0 < self.rate_decay <= 1:
            raise ConfigError(f"sequoia.rate_decay is {self.rate_decay}: give a factor up to 1")
        if not 0 < self.target_rate <= 1:
            raise ConfigError(
                f"sequoia.target_rate is {self.target_rate}: give a share above 0, at most 1"
            )
        if not all(0 <= share <= 1 for share in self.explore):
            raise ConfigError(
                f"sequoia.explore is {list(self.explore)}: give two shares between 0 and 1"
            )

    @staticmethod
    def paper() -> SequoiaSettings:
        """As published: plain network, myopic pre-training, DQN with an exact argmax in targets.

        The target network moves by 1e-6 per update and the learning rate falls tenfold every 22
        episodes. So the result is close to a one-step lookahead on a myopic model that was trained
        on start states. For comparison.
        """
        return SequoiaSettings(
            network="plain",
            pretrain="myopic",
            pretrain_steps=3000,
            updates=2000,
            updates_per_step=1,
            episodes=1,
            replay=10_000,
            batch=32,
            learning_rate=1e-3,
            fine_learning_rate=2.5e-4,
            rate_decay=0.9,
            discount=0.99,
            target_rate=1e-6,
            explore=(0.9, 0.05),
            argmax="milp",
            coverage="start",
            check_every=1000,
        )

    @staticmethod
    def greedy() -> SequoiaSettings:
        """The iterative DQN baseline as published: `paper` with a greedy argmax, without MILP."""
        return replace(SequoiaSettings.paper(), argmax="greedy")

    @staticmethod
    def repaired_greedy() -> SequoiaSettings:
        """Iterative DQN whose target network and learning rate work, and which covers all states.

        A far stronger baseline than `greedy`.
        """
        return replace(
            SequoiaSettings.greedy(),
            target_rate=0.005,
            rate_decay=1.0,
            fine_learning_rate=1e-3,
            coverage="all",
        )


def learning_rate(settings: SequoiaSettings, horizon: int, step: int) -> float:
    """The rate of a gradient step: it falls within each phase."""
    if step < settings.pretrain_steps:
        return settings.learning_rate * max(1 - step / settings.pretrain_steps, 0.05)
    update = step - settings.pretrain_steps
    if settings.rate_decay < 1:
        return settings.fine_learning_rate * settings.rate_decay ** (update // horizon)
    return settings.fine_learning_rate * max(1 - update / max(settings.updates, 1), 0.05)
