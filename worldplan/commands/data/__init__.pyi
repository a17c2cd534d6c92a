from .command import collect as collect
from .command import convert as convert
from .command import describe as describe
from .command import describe_tables as describe_tables
from .demonstrations import demonstration_tables as demonstration_tables
