from .checkpoints import save_tensors as save_tensors
from .journal import Journal as Journal
from .module import ResumableModule as ResumableModule
from .origin import differences as differences
from .seeds import derived_seed as derived_seed
from .seeds import torch_generator as torch_generator
from .trainer import fit as fit
