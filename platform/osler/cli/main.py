"""Entry point of the command `osler`."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence

from osler import __version__
from osler.cli.command import (
    EXIT_DONE,
    EXIT_FAILED,
    EXIT_REFUSED_SOME,
    CommandModule,
    CommandResult,
    installed_commands,
    load,
)
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError, from_os_error


def build_parser(argv: Sequence[str]) -> tuple[argparse.ArgumentParser, dict[str, CommandModule]]:
    """Build the parser; only the module of the subcommand at hand is imported, all of them for the overview."""
    parser = argparse.ArgumentParser(
        prog="osler",
        description="Concept-bottleneck models for medical imaging. For research use; not a medical device.",
        epilog="Exit codes: 0 done, 1 failed, 2 wrong usage, 3 done but some inputs were refused.",
    )
    parser.add_argument("--version", action="version", version=f"osler {__version__}")
    commands = installed_commands()
    wanted = next((word for word in argv if word in commands), None)
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    modules: dict[str, CommandModule] = {}
    for name, entry in commands.items():
        if wanted in (None, name):
            module = modules[name] = load(entry)
            subparser = subparsers.add_parser(name, help=module.SUMMARY, description=module.SUMMARY)
            module.add_arguments(subparser)
            subparser.add_argument("--json", action="store_true", help="print one JSON object on stdout")
        else:
            subparsers.add_parser(name)
    return parser, modules


def _print(result: CommandResult, as_json: bool) -> None:
    print(json.dumps(result.payload, indent=2, sort_keys=True) if as_json else "\n".join(result.lines))


def _fail(error: OslerError, as_json: bool) -> int:
    if as_json:
        print(json.dumps({"error": error.to_dict()}, indent=2, sort_keys=True))
    print(f"osler: {error.message} {error.mend} [{error.code}]", file=sys.stderr)
    return EXIT_FAILED


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand and return its exit code.

    A failure that nobody foresaw is told without its trace, which may hold values of patients; OSLER_DEBUG=1 shows it.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    parser, modules = build_parser(argv)
    arguments = parser.parse_args(argv)
    try:
        result = modules[arguments.command].run(arguments)
    except OslerError as error:
        return _fail(error, arguments.json)
    except OSError as error:
        return _fail(from_os_error(error), arguments.json)
    except KeyboardInterrupt:
        print("osler: stopped; what was finished is kept.", file=sys.stderr)
        return EXIT_FAILED
    except Exception as error:
        if os.environ.get("OSLER_DEBUG"):
            raise
        kind = type(error).__name__
        return _fail(
            OslerError(
                Code.INTERNAL,
                f"Something failed that should not have ({kind}).",
                "Run again with OSLER_DEBUG=1 to see the trace, remove patient values from it and report it.",
            ),
            arguments.json,
        )
    _print(result, arguments.json)
    return EXIT_REFUSED_SOME if result.refused else EXIT_DONE


if __name__ == "__main__":
    sys.exit(main())
