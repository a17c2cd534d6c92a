from .command import collect as collect
from .command import convert as convert
from .command import describe as describe
from .tables import demonstration_tables as demonstration_tables
from .tables import describe_tables as describe_tables
