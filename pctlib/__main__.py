"""Entry point of `python -m pctlib`."""

import sys

from pctlib.commands import app


def main() -> None:
    """Run the command line; a bad input ends with one line, not a traceback."""
    try:
        app()
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
