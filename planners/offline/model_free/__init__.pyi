from .behaviour_cloning import BehaviourCloningSettings as BehaviourCloningSettings
from .iql import IQLSettings as IQLSettings
from .policy import ModelFreePolicy as ModelFreePolicy
from .td3_bc import TD3BCSettings as TD3BCSettings
from .training import ModelFreeModule as ModelFreeModule
