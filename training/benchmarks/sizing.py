"""What one core does in an hour: processors' seconds of one thread for a file ingested, an image encoded, a study explained.

    OMP_NUM_THREADS=1 python training/benchmarks/sizing.py FOLDER WORKSPACE --site SITE --model NAME [--studies 100]

FOLDER is ingested into a scratch workspace; the studies of SITE are encoded into a scratch cache and explained into a
scratch folder. All of it in this process, whose processor time is taken, so that other work on the machine counts little;
what is started or loaded once is left out by a first pass.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

from osler.archive import Archive
from osler.archive.images import StudyImages, sees_grey
from osler.bottleneck.artefact import find_encoder
from osler.bottleneck.encoders.lazy import LazyEncoder
from osler.bottleneck.encoding import Encoding, encode_images
from osler.engine import EngineChoice
from osler.explain.batch import Explaining
from osler.explain.service import StudyExplainer
from osler.ingest import ingest
from osler.workspace import Workspace

HERE = EngineChoice(workers=0)
FIRST = 4


def ingestion(folder: Path, scratch: Path) -> tuple[int, float]:
    """Return the number of files, and seconds a file."""
    one = next(path for path in sorted(folder.rglob("*.dcm")))
    for name, source in (("first", one), ("all", folder)):
        start = time.process_time()
        workspace = Workspace.open(scratch / name, create=True)
        files = ingest(source, site="a", workspace=workspace, key=bytes(32), engine=HERE).received
    return files, (time.process_time() - start) / files


def encoding(explainer: StudyExplainer, site: str, studies: int, scratch: Path) -> tuple[int, float]:
    """Return the number of images, and seconds an image."""
    archive = Archive(explainer.workspace)
    chosen = archive.studies(site)[: studies + FIRST]
    images = StudyImages.of(archive, chosen, grey=sees_grey(explainer.pipeline.notes))
    digest = explainer.pipeline.encoder_digest
    folder = find_encoder(digest, explainer.workspace.models / explainer.model)
    what = Encoding(LazyEncoder(folder, digest), scratch / "cache")
    with HERE.open() as engine:
        encode_images(engine, what, images.rows(range(FIRST)))
        rest = images.rows(range(FIRST, len(images)))
        start = time.process_time()
        encode_images(engine, what, rest)
    return len(rest), (time.process_time() - start) / len(rest)


def explaining(explainer: StudyExplainer, site: str, studies: int, scratch: Path) -> tuple[int, float]:
    """Return the number of studies, and seconds a study, its features being in the workspace's cache."""
    explainer.surroundings.gather(site)
    explain = Explaining(explainer, scratch, "json", True)
    uids = [study.uid for study in explainer.archive.studies(site)][: studies + FIRST]
    for uid in uids:  # every image is encoded with its places now
        explain(uid)
    start = time.process_time()
    for uid in uids[FIRST:]:
        explain(uid)
    return len(uids) - FIRST, (time.process_time() - start) / (len(uids) - FIRST)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--site", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--studies", type=int, default=100)
    arguments = parser.parse_args()
    explainer = StudyExplainer(Workspace.open(arguments.workspace), arguments.model)
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        found = {"ingest": ingestion(arguments.folder, scratch)}
        found["encode"] = encoding(explainer, arguments.site, arguments.studies, scratch)
        found["explain"] = explaining(explainer, arguments.site, arguments.studies, scratch)
    for what, (number, seconds) in found.items():
        told = {"of": number, "ms": round(1000 * seconds, 2), "a core and hour": round(3600 / seconds)}
        print(json.dumps({what: told}), flush=True)


if __name__ == "__main__":
    main()
