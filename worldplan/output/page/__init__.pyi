from .sections import Section as Section
from .sections import read_section as read_section
