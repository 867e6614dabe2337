"""A workspace: the one folder that holds everything Osler keeps, self-contained and movable."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

MARKER, FORM = "osler-workspace", 1  # the form of the folder stands in the marker
FOLDERS = (
    "archive",
    "quarantine",
    "knowledge",
    "models",
    "patches",
    "calibrations",
    "feedback",
    "drift",
    "cache",
    "artifacts",
    "reports",
)


@dataclass(frozen=True)
class Workspace:
    """Paths inside a workspace; `open` makes or checks it."""

    root: Path

    @classmethod
    def open(cls, root: Path, *, create: bool = False) -> Workspace:
        """Open the workspace at `root`.

        Args:
            root: Folder of the workspace.
            create: Make it where nothing, or an empty folder, is there.

        Raises:
            OslerError: `workspace-invalid` where the folder is missing or is something else; `record-newer` where a later
                version of Osler laid it out.
        """
        root = root.resolve()
        if not (root / MARKER).is_file():
            if not create:
                raise OslerError(
                    Code.WORKSPACE_INVALID,
                    f"There is no workspace at {root}.",
                    "Run `osler ingest` or `osler demo` first, or name another folder with --workspace.",
                )
            if root.exists() and (not root.is_dir() or any(root.iterdir())):
                raise OslerError(
                    Code.WORKSPACE_INVALID,
                    f"{root} is not a workspace and is not an empty folder.",
                    "Name an empty or a new folder with --workspace.",
                )
            root.mkdir(parents=True, exist_ok=True)
            (root / MARKER).write_text(f"{FORM}\n", encoding="utf-8")
        _check_form(root / MARKER)
        for name in FOLDERS:
            (root / name).mkdir(exist_ok=True)
        return cls(root)

    @property
    def archive(self) -> Path:
        """De-identified DICOM by hashed UID, and the index of studies."""
        return self.root / "archive"

    @property
    def index_url(self) -> str:
        """SQLAlchemy URL of the embedded index."""
        return f"sqlite:///{self.archive / 'index.sqlite'}"

    @property
    def quarantine(self) -> Path:
        """What was refused, untouched."""
        return self.root / "quarantine"

    @property
    def knowledge(self) -> Path:
        """Corpora indexes and concept banks."""
        return self.root / "knowledge"

    @property
    def models(self) -> Path:
        """Bottlenecks, a folder each."""
        return self.root / "models"

    @property
    def patches(self) -> Path:
        """Site patches, a JSON file each."""
        return self.root / "patches"

    @property
    def calibrations(self) -> Path:
        """Calibrations of sites, a JSON file each."""
        return self.root / "calibrations"

    @property
    def feedback(self) -> Path:
        """Clinicians' corrections and sign-offs."""
        return self.root / "feedback"

    @property
    def drift(self) -> Path:
        """Reference profiles of sites, and what the last comparison with them said."""
        return self.root / "drift"

    @property
    def cache(self) -> Path:
        """What can be derived again and deleted at any time."""
        return self.root / "cache"

    @property
    def artifacts(self) -> Path:
        """Artifacts of the tracker."""
        return self.root / "artifacts"

    @property
    def reports(self) -> Path:
        """Reports that went out, under pseudonyms, and the journal of them."""
        return self.root / "reports"

    @property
    def tracking_uri(self) -> str:
        """Address of the embedded tracker."""
        return f"sqlite:///{self.root / 'mlflow.db'}"

    @property
    def summary(self) -> Path:
        """The summary that the demonstration leaves."""
        return self.root / "summary.json"


def _check_form(marker: Path) -> None:
    found = marker.read_text(encoding="utf-8", errors="replace").strip()
    if found.isdecimal() and int(found) > FORM:
        raise OslerError(
            Code.RECORD_NEWER,
            f"The workspace has form {found}, and this version of Osler knows forms up to {FORM}.",
            "Install the version of Osler that wrote it, or a later one; or restore the copy from before the upgrade.",
        )
