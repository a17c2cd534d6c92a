"""What the page of a report consists of: tables, drawings, films, words.

`read_section` gathers what the folder of one run holds, and says what is missing in it.
"""

from worldplan.extras import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
