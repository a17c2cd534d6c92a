"""Tables and runs as pictures, films and HTML.

`write_report` turns run folders into one self-contained HTML file. The plots are functions of
tables (`plots.py`) or of a bandit's decisions (`decision_plots.py`) and write SVG or PNG files; own
plots get the same look with `new_figure`, `style_axes` and `save_figure`. `record_video` films a
planner.
"""

from worldplan.extras import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
