"""`python -m worldplan` is the command `worldplan`."""

import sys

from worldplan.cli import main

sys.exit(main())
