"""Exporting a model of a workspace, importing one, and checking either."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from osler import audit
from osler.bottleneck.artefact import BANK, CARD, ENCODER, RECORD, TENSORS, find_encoder, load_bottleneck, read_record
from osler.bottleneck.encoders.catalogue import open_encoder, shipped_folders
from osler.bottleneck.encoders.checkpoint import mismatch
from osler.bottleneck.pipeline import Pipeline
from osler.exchange import licences as licensing
from osler.exchange.licences import Terms, as_text, licences_of, read_terms
from osler.exchange.manifest import MANIFEST, MODELS, NAME, Manifest, changed, check_names
from osler.exchange.package import held, no_plain_file, unpacked, write_package
from osler.explain import validation
from osler.files import only_writer
from osler.workspace import Workspace
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError, from_os_error
from osler_knowledge.bank import ConceptBank

EXPORTED, IMPORTED = "model.export", "model.import"
README, LICENCES = "docs/README.md", "docs/licences.md"


@dataclass(frozen=True)
class Imported:
    """A model that came in.

    Attributes:
        folder: Its folder.
        manifest: What the package said.
        fresh: False where the very same model was there already.
    """

    folder: Path
    manifest: Manifest
    fresh: bool


def export_model(
    workspace: Workspace, name: str, target: Path, *, actor: str, terms: Terms | None = None, bundle: bool = False
) -> Manifest:
    """Write a model of a workspace as a package, after it was checked.

    Args:
        workspace: The workspace.
        name: The model.
        target: Where to: a zip where it ends in `.zip`, or a folder.
        actor: Who exports.
        terms: What is known of licences; what an earlier export stated holds where these say nothing.
        bundle: Whether MONAI's tools are to open it too.

    Raises:
        OslerError: `model-invalid`, `model-hash-mismatch`; `usage` where something is at `target`; as `osler.audit.record`.
    """
    folder = workspace.models / require_name(name)
    pipeline, encoder = opened_model(folder)
    files: dict[str, Path | bytes] = {
        f"{MODELS}/{path}": folder / path for path in model_files(folder, encoder == folder / ENCODER)
    }
    terms = (terms or Terms()).over(read_terms(folder))
    licences = licences_of(ConceptBank.load(folder / BANK), encoder, terms)
    if terms != Terms():
        files[f"{MODELS}/{licensing.FILE}"] = terms.to_bytes()
    files |= {README: folder / CARD, LICENCES: as_text(licences).encode()}
    if bundle:
        from osler.exchange.bundle import bundle_files

        files |= bundle_files(name, pipeline, encoder)
    shipped = encoder.name if encoder in shipped_folders() else ""
    listed = {path: held(content) for path, content in sorted(files.items())}
    check_names(listed)
    manifest = Manifest(name, pipeline.digest, pipeline.encoder_digest, shipped, listed, licences)
    details = {"model": name, "package": manifest.digest, "file": target.name}
    if not target.exists():
        audit.record(workspace, actor=actor, action=EXPORTED, subject=manifest.model, details=details)
    write_package({MANIFEST: manifest.to_bytes(), **files}, target, name)
    return manifest


def opened_model(folder: Path) -> tuple[Pipeline, Path]:
    """Load a model from its folder, every file checked, and return it with the folder of its encoder; that is opened too.

    Raises:
        OslerError: `model-invalid`, `model-hash-mismatch`; `part-missing` where the encoder needs a package.
    """
    read_record(folder)
    pipeline = load_bottleneck(folder)
    if not validation.intact(folder, pipeline.digest):
        raise mismatch(f"{validation.FILE} of model {folder.name!r}")
    read_terms(folder)
    place = find_encoder(pipeline.encoder_digest, folder)
    open_encoder(place)
    return pipeline, place


def model_files(folder: Path, with_encoder: bool) -> list[str]:
    """Return the files of a model by their path in its folder.

    Raises:
        OslerError: `model-invalid` where its encoder's folder holds a link.
    """
    own = [RECORD, TENSORS, BANK, CARD]
    own += [name for name in (validation.FILE, validation.TENSORS, licensing.FILE) if (folder / name).is_file()]
    if with_encoder:
        for path in sorted((folder / ENCODER).rglob("*")):
            if path.is_symlink():
                raise no_plain_file(path.relative_to(folder).as_posix())
            if path.is_file():
                own.append(path.relative_to(folder).as_posix())
    return own


def import_model(
    workspace: Workspace, path: Path, *, actor: str, name: str | None = None, sha256: str | None = None
) -> Imported:
    """Take the model of a package into a workspace, whole or not at all; nothing that is there is replaced.

    Args:
        workspace: The workspace.
        path: A zip or a folder.
        actor: Who imports.
        name: Name to give it, the package's own where none is given.
        sha256: Digest that the package must have.

    Raises:
        OslerError: as `package.unpacked` and `opened_model`; `usage` for a bad name, and where another model has it; as
            `osler.audit.record`, and nothing is done then.
    """
    with checked_package(path, workspace.models, sha256) as (source, manifest):
        target = workspace.models / require_name(name or manifest.name)
        with only_writer(workspace.models):
            if target.exists() or target.is_symlink():
                if not _same(source, target):
                    raise OslerError(
                        Code.USAGE,
                        f"The workspace has another model {target.name!r}.",
                        "Give the new one another name with --name.",
                    )
                return Imported(target, manifest, False)
            details = {"model": target.name, "package": manifest.digest, "file": path.name}
            audit.record(workspace, actor=actor, action=IMPORTED, subject=manifest.model, details=details)
            try:
                source.rename(target)
            except OSError as error:
                raise from_os_error(error) from error
    return Imported(target, manifest, True)


@contextmanager
def checked_package(path: Path, into: Path, sha256: str | None = None) -> Iterator[tuple[Path, Manifest]]:
    """Open a package whose files, model, encoder and checks are those that its manifest names.

    Args:
        path: A zip or a folder.
        into: Where it is unpacked; what is still there in the end is removed.
        sha256: Digest that the package must have.

    Yields:
        The folder of the model, and the manifest.

    Raises:
        OslerError: as `package.unpacked` and `opened_model`.
    """
    with unpacked(path, into) as (folder, manifest):
        if sha256 is not None and manifest.digest != sha256.lower():
            raise changed(MANIFEST)
        source = folder / MODELS
        pipeline, encoder = opened_model(source)
        listed = {f"{MODELS}/{one}" for one in model_files(source, encoder == source / ENCODER)}
        for one in sorted(manifest.files):
            if one.startswith(f"{MODELS}/") and one not in listed:
                raise OslerError(
                    Code.MODEL_INVALID, f"{one} is no file of the model.", "Do not use it; tell who sent it."
                )
        if (pipeline.digest, pipeline.encoder_digest) != (manifest.model, manifest.encoder):
            raise changed(MANIFEST)
        yield source, manifest


def require_name(name: str) -> str:
    """Return a name that a model may have.

    Raises:
        OslerError: `usage`.
    """
    if not NAME.fullmatch(name):
        raise OslerError(Code.USAGE, f"{name!a} is no name of a model.", "Use letters, digits, _ and -.")
    return name


def _same(source: Path, target: Path) -> bool:
    def content(folder: Path) -> dict[str, str]:
        return {path.relative_to(folder).as_posix(): held(path).sha256 for path in folder.rglob("*") if path.is_file()}

    return target.is_dir() and content(source) == content(target)
