"""Entry point of `python -m pctlib`."""

import importlib.metadata
import re
import sys

from pctlib.commands import app


def main() -> None:
    """Run the command line; a bad input ends with one line, not a traceback."""
    try:
        app()
    except ModuleNotFoundError as error:
        extra = extra_of(error.name or "")
        if error.name and not extra:
            raise
        sys.exit(f"error: {error}" + (f"; pip install 'pctlib[{extra}]'" if extra else ""))
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")


def extra_of(module: str) -> str:
    """Return which extra of the package brings a module; "" if none does, or every installation has it."""
    package = module.partition(".")[0].replace("_", "-")
    package = {"bs4": "beautifulsoup4"}.get(package, package)
    for line in importlib.metadata.requires("pctlib") or []:
        found = re.fullmatch(r"([\w.-]+).*; *extra == [\"'](\w+)[\"']", line)
        if found and found[1] == package != "pctlib":
            return found[2]
    return ""


if __name__ == "__main__":
    main()
