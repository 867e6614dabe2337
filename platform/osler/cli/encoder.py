"""`osler encoder`: the encoders at hand, and a checkpoint of one's own made into one."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from osler.cli.command import CommandResult, add_workspace, say
from osler.cli.engine import add_engine, chosen_engine

SUMMARY = "list encoders, encode the archive by one, or make one of a checkpoint at hand"
LIBRARIES = ("timm", "torchvision", "monai", "open_clip")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the subcommands `list` and `import`."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    actions.add_parser("list", help="list the encoders that come with Osler")
    filling = actions.add_parser("features", help="encode the archive's images into the cache, for all that reads them")
    filling.add_argument("encoder", metavar="ENCODER", help="name of an encoder, or its folder")
    filling.add_argument("--site", help="only the images of this site")
    filling.add_argument("--grey", action="store_true", help="see colour as grey, as models of grey images do")
    add_engine(filling, "worker processes of one thread each (default: 2, or one for each core of a Ray cluster)")
    add_workspace(filling)
    bring = actions.add_parser("import", help="write an encoder's folder from a checkpoint")
    bring.add_argument("weights", help="a .safetensors or torch file; hub:TAG downloads open_clip's checkpoint TAG")
    bring.add_argument("--library", required=True, choices=LIBRARIES, help="whose network it is")
    bring.add_argument("--architecture", required=True, metavar="NAME", help="its name there: resnet50, ViT-B-32, ...")
    bring.add_argument("--out", type=Path, required=True, metavar="DIR", help="the encoder's folder")
    bring.add_argument("--layer", default="", help="layer whose output are the features (not for open_clip)")
    bring.add_argument(
        "--argument",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="what the network is built with, VALUE in JSON; repeat",
    )
    bring.add_argument("--prefix", type=int, default=0, metavar="N", help="tokens before those of the places")
    bring.add_argument("--pool", choices=("mean", "first"), default="mean", help="how features are pooled")
    bring.add_argument("--rectified", action="store_true", help="set negative outputs to zero, as a DenseNet does")
    bring.add_argument("--strip", default="", metavar="PREFIX", help="take this off the names of the weights")
    bring.add_argument("--size", type=int, default=224, metavar="PIXELS", help="side of its input (default: 224)")
    bring.add_argument("--mean", type=float, nargs=3, default=(0.485, 0.456, 0.406), help="default: ImageNet's")
    bring.add_argument("--std", type=float, nargs=3, default=(0.229, 0.224, 0.225), help="default: ImageNet's")
    bring.add_argument("--sha256", help="hash that the file must have")


def run(arguments: argparse.Namespace) -> CommandResult:
    """Do one action."""
    if arguments.action == "features":
        return _features(arguments)
    return _list() if arguments.action == "list" else _import(arguments)


def _features(arguments: argparse.Namespace) -> CommandResult:
    from osler.archive import Archive
    from osler.archive.images import StudyImages
    from osler.bottleneck.encoders.catalogue import encoder_folder
    from osler.bottleneck.encoders.lazy import LazyEncoder
    from osler.bottleneck.encoding import PRELOAD, Encoding, encode_images
    from osler.engine import UNLIMITED
    from osler.workspace import Workspace

    engine = chosen_engine(arguments)
    workspace = Workspace.open(arguments.workspace)
    folder = encoder_folder(arguments.encoder)
    archive = Archive(workspace)
    images = StudyImages.of(archive, archive.studies(arguments.site), grey=arguments.grey)
    encoding = Encoding(LazyEncoder(folder.path.resolve(), folder.digest), workspace.cache)
    with engine.open(UNLIMITED, PRELOAD, ahead=1, folders=[workspace.root]) as pool:
        encoded, refused = encode_images(pool, encoding, images, say)
    held = len(images) - encoded
    record = {"images": len(images), "encoded": encoded - refused, "held": held, "refused": refused}
    line = f"{encoded - refused} images encoded, {held} were there, {refused} could not be read"
    return CommandResult({**record, "digest": folder.digest}, [line], refused)


def _list() -> CommandResult:
    from osler.bottleneck.encoders.catalogue import shipped_folders
    from osler.bottleneck.encoders.checkpoint import CARD, EncoderFolder

    rows = []
    for folder in shipped_folders():
        encoder = EncoderFolder(folder)
        title = (folder / CARD).read_text(encoding="utf-8").splitlines()[0].lstrip("# ")
        rows.append({"name": folder.name, "kind": encoder.kind, "digest": encoder.digest, "title": title})
    lines = [f"{row['name']:24} {row['kind']:12} {row['digest'][:12]}  {row['title']}" for row in rows]
    return CommandResult({"encoders": rows}, lines)


def _import(arguments: argparse.Namespace) -> CommandResult:
    from osler.bottleneck.encoders.importing import (
        HUB,
        fetch_open_clip,
        import_network,
        import_open_clip,
        read_checkpoint,
    )
    from osler.bottleneck.encoders.network import Architecture
    from osler.bottleneck.encoders.preprocess import Preprocess
    from osler_contracts.codes import Code
    from osler_contracts.errors import OslerError

    if arguments.out.exists():
        raise OslerError(Code.USAGE, f"{arguments.out} is there already.", "Name a folder that is not there yet.")
    of_open_clip = arguments.library == "open_clip"
    if of_open_clip == bool(arguments.layer):
        raise OslerError(
            Code.USAGE,
            "A network of timm, torchvision or MONAI needs --layer; one of open_clip has none.",
            "Give --layer as `network.named_modules()` names it, for example layer4.",
        )
    from_hub = arguments.weights.startswith(HUB)
    if from_hub and not of_open_clip:
        raise OslerError(Code.USAGE, "Only open_clip's checkpoints are fetched.", "Give a file.")
    checkpoint = (
        fetch_open_clip(arguments.architecture, arguments.weights.removeprefix(HUB))
        if from_hub
        else read_checkpoint(Path(arguments.weights), strip=arguments.strip, sha256=arguments.sha256)
    )
    preprocess = Preprocess(arguments.size, tuple(arguments.mean), tuple(arguments.std))
    if of_open_clip:
        encoder = import_open_clip(arguments.out, checkpoint, arguments.architecture, {})
    else:
        architecture = Architecture(
            arguments.library,
            arguments.architecture,
            arguments.layer,
            dict(_argument(one) for one in arguments.argument),
            arguments.prefix,
            arguments.pool,
            arguments.rectified,
        )
        encoder = import_network(arguments.out, checkpoint, architecture, preprocess)
    record = {
        "folder": str(arguments.out),
        "width": encoder.width,
        "digest": encoder.digest,
        "source": checkpoint.sha256,
    }
    return CommandResult(
        record,
        [
            f"{arguments.out}: {encoder.width} features, digest {encoder.digest[:12]}, its test embedding recorded.",
            f"Use it with --encoder {arguments.out}, or `encoder: {arguments.out}` in a recipe.",
        ],
    )


def _argument(text: str) -> tuple[str, Any]:
    """Read `key=value`, the value in JSON."""
    import json

    from osler_contracts.codes import Code
    from osler_contracts.errors import OslerError

    key, _, value = text.partition("=")
    try:
        return key, json.loads(value)
    except ValueError:
        raise OslerError(
            Code.USAGE, f"{text!r} is no argument of a network.", "Write --argument num_classes=0, the value in JSON."
        ) from None
