from .engine import run_on_ray as run_on_ray
from .session import connected as connected
from .session import require_ray as require_ray
from .session import start_actor as start_actor
