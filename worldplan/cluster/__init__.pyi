from .engine import run_on_ray as run_on_ray
from .session import require_ray as require_ray
