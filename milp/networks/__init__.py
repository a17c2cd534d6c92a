"""ReLU networks of a binary action inside a program: the best feasible action, with a proven bound.

`NetworkArgmax(network, actions).maximise()` maximises a `ReluNetwork`, or the minimum over several,
over a feasible set of `worldplan.milp.sets`. `ReluNetwork.from_sequential(module)` reads a network
from a torch `Sequential` of Linear and ReLU layers in turn; a network in any other framework is
`ReluNetwork(weights, biases)`. `embed` puts one into a program of your own, `neuron_bounds` bounds
its neurons over a feasible set.
"""

from worldplan.extras import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
