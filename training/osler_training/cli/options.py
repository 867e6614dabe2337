"""Options that several subcommands share."""

from __future__ import annotations

import argparse


def add_encoder(parser: argparse.ArgumentParser) -> None:
    """Declare the option that puts another encoder in the place of the recipe's."""
    parser.add_argument(
        "--encoder",
        metavar="NAME|DIR",
        help="encoder instead of the recipe's: phantom_clip, imagenet_lite0, or a folder",
    )
