"""`python -m worldplan` is the command `worldplan`."""

import sys

from worldplan.interrupts import INTERRUPTED, TEXT, guard_interrupts, ignore_interrupts


def main() -> int:
    """Run the command of this process, and return its exit code."""
    guard_interrupts()
    try:
        from worldplan.cli import main as run_command

        code = run_command()
    except KeyboardInterrupt:  # while the command line was imported
        print(f"worldplan: {TEXT}", file=sys.stderr)  # noqa: T201
        code = INTERRUPTED
    ignore_interrupts()
    return code


if __name__ == "__main__":
    sys.exit(main())
