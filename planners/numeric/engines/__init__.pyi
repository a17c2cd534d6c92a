from .catalogue import engine_of as engine_of
from .catalogue import installed_engines as installed_engines
