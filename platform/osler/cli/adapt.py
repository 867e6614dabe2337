"""`osler adapt`: a few labelled studies of a site to a patch; further words, such as `bench`, come from the floors above."""

from __future__ import annotations

import argparse
from datetime import date
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING

from osler.cli.command import CommandModule, CommandResult, add_workspace, load, say

if TYPE_CHECKING:
    from osler.adapt.proposal import Proposal
    from osler.explain.service import StudyExplainer

SUMMARY = "fit a site patch on a few labelled studies of a site"
ACTIONS = "osler.adapt.actions"  # entry points: modules of the same kind as a subcommand's
SHOWN = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `osler adapt`, and the actions that are installed."""
    parser.add_argument("--site", help="the site to adapt to")
    parser.add_argument("--model", metavar="NAME", help="a model of the workspace")
    parser.add_argument("--adapter", metavar="NAME", help="how to adapt (default: the recommended one)")
    parser.add_argument(
        "--setting", action="append", default=[], metavar="KEY=VALUE", help="a setting of the adapter; repeatable"
    )
    parser.add_argument(
        "--support",
        metavar="CSV|labels",
        default="labels",
        help="a table with study_uid and label, or `labels` to draw from labelled studies of the archive (default)",
    )
    parser.add_argument(
        "--labels-from",
        choices=("archive", "feedback"),
        default="archive",
        help="whose labels are drawn from: those ingested (default), or the findings that readers signed here",
    )
    parser.add_argument("--shots", type=int, default=4, help="studies of each class to draw (default: 4)")
    parser.add_argument("--label", metavar="COLUMN", help="label that holds the class (default: found by its values)")
    parser.add_argument(
        "--map", action="append", default=[], metavar="VALUE=CLASS", help="a site's own word for a class; repeatable"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the draw (default: 0)")
    parser.add_argument(
        "--expires", type=date.fromisoformat, metavar="DATE", help="last day of the patch (default: 180 days on)"
    )
    parser.add_argument("--author", metavar="NAME", help="who adapts, for patch and audit log (default: your account)")
    parser.add_argument("--activate", action="store_true", help="put the patch in force at once")
    parser.add_argument("--date", type=date.fromisoformat, help="ISO date that the patch bears (default: today)")
    parser.add_argument("--no-tracking", action="store_true", help="do not log to the tracker")
    add_workspace(parser)
    installed = _actions()
    if installed:
        actions = parser.add_subparsers(dest="action", metavar="ACTION", help="instead of fitting a patch")
        for name, module in installed.items():
            action = actions.add_parser(name, help=module.SUMMARY, description=module.SUMMARY)
            module.add_arguments(action)
            action.set_defaults(act=module.run)


def run(arguments: argparse.Namespace) -> CommandResult:
    """Fit a patch and keep it, in force with --activate, proposed without; or run an action."""
    act = getattr(arguments, "act", None)
    if act is not None:
        result: CommandResult = act(arguments)
        return result
    return _adapt(arguments)


def _actions() -> dict[str, CommandModule]:
    found = {}
    for entry in sorted(entry_points(group=ACTIONS), key=lambda one: one.name):
        if (module := _loaded(entry)) is not None:
            found[entry.name] = module
    return found


def _loaded(entry: EntryPoint) -> CommandModule | None:
    try:
        return load(entry)
    except ImportError:  # adapting goes on without it
        return None


def _adapt(arguments: argparse.Namespace) -> CommandResult:
    from osler.adapt.adapters import RECOMMENDED, parse_adapter
    from osler.adapt.in_force import put_in_force
    from osler.adapt.proposal import keep, propose, track
    from osler.adapt.words import default_expiry
    from osler.cli.people import account
    from osler.explain.service import StudyExplainer
    from osler.tracking import open_tracker
    from osler.workspace import Workspace

    _check(arguments)
    adapter = parse_adapter(arguments.adapter or RECOMMENDED, settings_of(arguments.setting))
    explainer = StudyExplainer(Workspace.open(arguments.workspace), arguments.model)
    today, author = arguments.date or date.today(), arguments.author or account()
    expires = default_expiry(today) if arguments.expires is None else arguments.expires.isoformat()
    chosen = _chosen(explainer, arguments)
    say(f"adapt: reading the studies of {arguments.site}")
    created = today.isoformat()
    proposal = propose(explainer, adapter, arguments.site, chosen, created=created, expires=expires, author=author)
    keep(explainer, proposal, chosen, author)
    if not arguments.no_tracking:
        track(open_tracker(explainer.workspace), proposal, arguments.model)
    patch = proposal.patch
    if arguments.activate and not patch.changes_nothing:
        patch = put_in_force(explainer.workspace, patch, on=created, actor=author, note=f"{author}: at once")
    return _told(proposal, patch, arguments.model, created)


def _check(arguments: argparse.Namespace) -> None:
    from osler_contracts.codes import Code
    from osler_contracts.errors import OslerError

    if not (arguments.site and arguments.model):
        raise OslerError(Code.USAGE, "No site or no model is named.", "Give --site NAME and --model NAME.")
    if arguments.shots < 1:
        raise OslerError(Code.USAGE, f"--shots {arguments.shots} is no number of studies.", "Give 1 or more.")


def settings_of(texts: list[str]) -> dict[str, object]:
    """Read `key=value` words; a value is YAML, so `0.1`, `[1, 0.5]` and `true` are what they look like.

    Raises:
        OslerError: `usage`.
    """
    import yaml

    from osler_contracts.codes import Code
    from osler_contracts.errors import OslerError

    found: dict[str, object] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        try:
            if not (key and equals) or key in found:
                raise ValueError
            found[key] = yaml.safe_load(value)
        except (ValueError, yaml.YAMLError):
            raise OslerError(
                Code.USAGE, f"{text!r} is no setting, or a second one.", "Write --setting KEY=VALUE, each key once."
            ) from None
    return found


def _chosen(explainer: StudyExplainer, arguments: argparse.Namespace) -> dict[str, str]:
    """Return the class by study: as a table has it, or drawn from the labels of the archive."""
    from osler.adapt.proposal import require_site
    from osler.adapt.support import draw_signed, draw_support, read_support
    from osler.archive.label_column import choose_column
    from osler_contracts.codes import Code
    from osler_contracts.errors import OslerError

    archive, classes = explainer.archive, explainer.pipeline.classes
    require_site(archive, arguments.site)
    if arguments.support != "labels":
        return read_support(Path(arguments.support))
    if arguments.labels_from == "feedback":
        from osler.feedback.labels import findings_at

        signed = findings_at(explainer.workspace, archive, arguments.site, classes)
        return draw_signed(archive, arguments.site, signed, classes=classes, shots=arguments.shots, seed=arguments.seed)
    pairs = [text.partition("=") for text in arguments.map]
    if wrong := [text for text, pair in zip(arguments.map, pairs, strict=True) if not (pair[0] and pair[2])]:
        raise OslerError(Code.USAGE, f"--map {wrong[0]!r} is wrong.", "Write --map VALUE=CLASS.")
    names = {value: name for value, _, name in pairs}
    column = choose_column(archive.studies(arguments.site), classes, names, arguments.label)
    return draw_support(
        archive,
        arguments.site,
        label=column,
        classes=classes,
        shots=arguments.shots,
        seed=arguments.seed,
        names=names,
    )


def _told(proposal: Proposal, patch: object, model: str, on: str) -> CommandResult:
    from osler.adapt.patch import SitePatch
    from osler.adapt.words import lines_of

    assert isinstance(patch, SitePatch)
    before, after = proposal.right
    lines = [
        f"What moved at {patch.site} ({proposal.unlabelled} studies without labels; another mix of classes counts too):"
    ]
    lines += [
        f"  {one.shift:+.2f} deviations  {one.name}{'' if one.beyond_chance else ' (within chance)'}"
        for one in proposal.moved[:SHOWN]
    ]
    lines += lines_of(patch, model, on)
    n = len(proposal.rows)
    lines.append(
        f"Of the {n} studies that it was fitted on, {before} were right before and {after} are after; that says nothing of "
        "others. Research use only; not a medical device."
    )
    payload = proposal.to_dict()
    payload["patch"] |= {"status": patch.status, "history": patch.history}
    return CommandResult(payload, lines)
