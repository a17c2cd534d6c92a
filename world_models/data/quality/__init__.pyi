from .corruption import Corruption as Corruption
from .corruption import corrupt as corrupt
from .measures import coverage as coverage
from .measures import trajectory_quality as trajectory_quality
