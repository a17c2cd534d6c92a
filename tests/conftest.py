"""What holds in every test."""

from torch.optim.optimizer import register_optimizer_step_pre_hook

from tests.updates import require_one_memory_order

register_optimizer_step_pre_hook(require_one_memory_order)  # of every optimiser, whoever made it
