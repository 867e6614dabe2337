"""What a new installation begins with: a small phantom model, and a phantom study in its PACS. Each once, however often."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from pydicom import dcmread

from osler.sources.login import find_login
from osler.sources.web_client import Patience, WebClient
from osler.workspace import Workspace
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_training.phantom.generate import generate_site
from osler_training.phantom.plan import mixed_plan

HOSPITAL, SIZE = "hospital_b", 512
STUDY_SEED = 1000  # apart from the patients of every recipe, whose seeds are dates or small

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Seeded:
    """What was done.

    Attributes:
        trained: Whether a model was made; False where the workspace had one.
        study: Study Instance UID of the phantom study.
        sent: How many of its objects the PACS did not have yet.
        objects: How many it has.
    """

    trained: bool
    study: str
    sent: int
    objects: int


def seed_installation(
    workspace: Workspace, address: str, recipe: str, *, ca: Path | None, workers: int, progress: Progress
) -> Seeded:
    """Give a workspace a model where it has none, and a PACS a phantom study where it has it not.

    Args:
        workspace: An open workspace, empty or in use.
        address: DICOMweb root of the PACS; its login comes from the environment.
        recipe: Name or file of the demonstration from which the model comes.
        ca: Certificates to trust.
        workers: Worker processes.
        progress: Receives a line a step.

    Raises:
        OslerError: `workspace-occupied` where the workspace holds studies and no model; `login-invalid`; `source-...` as
            the PACS fails.
    """
    client = WebClient(address, find_login(address), ca, Patience())
    study, objects = phantom_study()
    missing = [data for uid, data in objects.items() if not client.has_instance(study, uid)]
    trained = not any(workspace.models.glob("*/bottleneck.json"))
    if trained:
        # Only here: what trains takes seconds to import, and later starts need none of it.
        from osler_training.demo.run import run_demo
        from osler_training.recipes.recipe import DemoRecipe, load_recipe

        run_demo(workspace, load_recipe(DemoRecipe, recipe), workers=workers, progress=progress)
    if missing:
        progress("sending a phantom study to the PACS")
        client.store(missing)
    if lost := [uid for uid in objects if not client.has_instance(study, uid)]:
        raise OslerError(
            Code.SOURCE_REFUSED,
            f"The PACS did not take {len(lost)} of {len(objects)} objects of the phantom study.",
            "Look into its log, and run the same command again.",
        )
    return Seeded(trained, study, len(missing), len(objects))


def phantom_study() -> tuple[str, dict[str, bytes]]:
    """Return the Study Instance UID of a phantom study of hospital B, and its files by SOP Instance UID; always the same."""
    with TemporaryDirectory(prefix="osler-seed-") as scratch:
        plans = mixed_plan(1, ("heart_failure",), STUDY_SEED)
        made = generate_site(HOSPITAL, plans, Path(scratch) / "study", size=SIZE, workers=0, seed=STUDY_SEED)
        files = sorted(made.folder.rglob("*.dcm"))
        headers = [dcmread(path, stop_before_pixels=True) for path in files]
        objects = {str(header.SOPInstanceUID): path.read_bytes() for header, path in zip(headers, files, strict=True)}
    return str(headers[0].StudyInstanceUID), objects
