"""Entry point of the command `osler`."""

from __future__ import annotations

import argparse
import contextlib
import errno
import json
import math
import os
import sys
import warnings
from collections.abc import Sequence
from typing import Any, NoReturn

from osler import __version__
from osler.cli.command import (
    EXIT_DONE,
    EXIT_FAILED,
    EXIT_REFUSED_SOME,
    EXIT_USAGE,
    CommandModule,
    CommandResult,
    installed_commands,
    load,
    say,
)
from osler.logs import mask_secrets, masked
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError, from_os_error

NO_SPACE = ("no space left on device", "database or disk is full", "disk quota exceeded")


class Parser(argparse.ArgumentParser):
    """A parser that leaves it to `main` to tell a usage error, so that `--json` holds for it too."""

    def error(self, message: str) -> NoReturn:
        """Raise the error instead of leaving the process."""
        self.print_usage(sys.stderr)
        raise OslerError(Code.USAGE, f"{message[:1].upper()}{message[1:]}.", f"See `{self.prog} --help`.")


class _OverviewFormatter(argparse.HelpFormatter):
    """Keeps each subcommand and its summary on one line: the stock formatter forgets that they are indented twice."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog)
        self._action_max_length = 16


def build_parser(argv: Sequence[str]) -> tuple[argparse.ArgumentParser, dict[str, CommandModule]]:
    """Build the parser; only the module of the subcommand at hand is imported, all of them for the overview.

    Raises:
        OslerError: `part-missing` where the module of the subcommand at hand cannot be imported.
    """
    parser = Parser(
        prog="osler",
        description="Concept-bottleneck models for medical imaging. For research use; not a medical device.",
        formatter_class=_OverviewFormatter,
        epilog="Exit codes: 0 done, 1 failed, 2 wrong usage, 3 done but some inputs were refused.",
    )
    parser.add_argument("--version", action="version", version=f"osler {__version__}")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands = installed_commands()
    wanted = next((word for word in argv if not word.startswith("-")), None)
    modules: dict[str, CommandModule] = {}
    for name, entry in commands.items():
        if wanted not in (name, None):
            subparsers.add_parser(name)
            continue
        try:
            module = modules[name] = load(entry)
        except ImportError as error:
            if wanted:
                raise OslerError(
                    Code.PART_MISSING,
                    f"The subcommand {name} cannot be imported: {error}.",
                    "Install what it needs, or run `osler doctor`.",
                ) from error
            subparsers.add_parser(name, help="(cannot be imported; see `osler doctor`)")
            continue
        subparser = subparsers.add_parser(name, help=module.SUMMARY, description=module.SUMMARY)
        module.add_arguments(subparser)
        _add_json(subparser, default=False)
    return parser, modules


def _add_json(parser: argparse.ArgumentParser, default: bool | str) -> None:
    """Add `--json` to a subcommand and to its own subcommands, whose absent flag must not undo the outer one."""
    option = parser._option_string_actions.get("--json")
    if option is None:
        option = parser.add_argument("--json", action="store_true", help="print one JSON object on stdout")
    option.default = default
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for nested in action.choices.values():
                _add_json(nested, default=argparse.SUPPRESS)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand and return its exit code.

    Stdout holds the result alone: what a library prints meanwhile goes to stderr. A failure that nobody foresaw is told
    without its trace, and warnings are not shown, since both may quote patients; OSLER_DEBUG=1 shows them.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    debug = bool(os.environ.get("OSLER_DEBUG"))
    mask_secrets()
    try:
        parser, modules = build_parser(argv)
        arguments = parser.parse_args(argv)
        with contextlib.redirect_stdout(sys.stderr), warnings.catch_warnings():
            if not debug:
                warnings.simplefilter("ignore")
            result = modules[arguments.command].run(arguments)
        print(_render(result) if arguments.json else "\n".join(result.lines), flush=True)
    except BrokenPipeError:
        # The reader of a pipe left early; point stdout elsewhere, or Python complains again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED
    except KeyboardInterrupt:
        return _fail(
            OslerError(Code.STOPPED, "Stopped.", "Run the same command again: what was finished is kept."), argv
        )
    except Exception as error:
        if debug and not isinstance(error, OslerError):
            raise
        return _fail(told(error), argv)
    if result.failed:
        return EXIT_FAILED
    return EXIT_REFUSED_SOME if result.refused else EXIT_DONE


def _render(result: CommandResult) -> str:
    return json.dumps(_finite(result.payload), indent=2, sort_keys=True, allow_nan=False)


def _finite(value: Any) -> Any:
    """Replace numbers that JSON does not know, such as NaN for what could not be measured, by null."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def told(error: BaseException) -> OslerError:
    """Return the error to tell for whatever was raised: full disks are found behind the errors of libraries."""
    if isinstance(error, OslerError):
        return error
    link: BaseException | None = error
    while link is not None:
        if any(words in str(link).lower() for words in NO_SPACE):
            return from_os_error(OSError(errno.ENOSPC, ""))
        link = link.__cause__ or link.__context__
    if isinstance(error, OSError):
        return from_os_error(error)
    return OslerError(
        Code.INTERNAL,
        f"Something failed that should not have ({type(error).__name__}).",
        "Run again with OSLER_DEBUG=1 to see the trace, remove patient values from it and report it.",
    )


def _fail(error: OslerError, argv: Sequence[str]) -> int:
    if "--json" in argv:
        print(masked(json.dumps({"error": error.to_dict()}, indent=2, sort_keys=True)))
    say(masked(f"osler: {error.message} {error.mend} [{error.code}]"))
    return EXIT_USAGE if error.code is Code.USAGE else EXIT_FAILED


if __name__ == "__main__":
    sys.exit(main())
