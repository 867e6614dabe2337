"""Traces of studies on a tracking server: artifacts that it serves, and what runs say of themselves."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from osler.tracking import open_tracker, server_of_tracker
from osler.workspace import Workspace

PAGE = 500


def redact_served(workspace: Workspace, names: Sequence[str], suffixes: Collection[str], instead: str) -> int:
    """Blank names on the tracking server; does nothing where runs are kept in the workspace.

    A parameter of a run cannot be changed, so a run that has a name among them is deleted; `mlflow gc` then takes it off the
    server's disk.

    Args:
        workspace: The workspace.
        names: Pseudonyms of what is taken out.
        suffixes: Of the artifacts that are text.
        instead: What is put in their place.

    Returns:
        Number of artifacts, tags and runs that were changed.

    Raises:
        OslerError: As `osler.tracking.open_tracker`.
    """
    if server_of_tracker() is None or not names:
        return 0
    client = open_tracker(workspace).client
    count = 0
    for run in _runs(client):
        if any(name in value for value in run.data.params.values() for name in names):
            client.delete_run(run.info.run_id)
            count += 1
        for key, value in run.data.tags.items():
            if (clean := _without(value, names, instead)) != value:
                client.set_tag(run.info.run_id, key, clean)
                count += 1
        for path in _files(client, run.info.run_id, ""):
            if PurePosixPath(path).suffix in suffixes:
                count += _redact(client, run.info.run_id, path, names, instead)
    return count


def _redact(client: Any, run: str, path: str, names: Sequence[str], instead: str) -> int:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(client.download_artifacts(run, path, folder))
        before = file.read_bytes()
        content = before
        for name in names:
            content = content.replace(name.encode(), instead.encode())
        if content == before:
            return 0
        file.write_bytes(content)
        parent = str(PurePosixPath(path).parent)
        client.log_artifact(run, str(file), None if parent == "." else parent)
        return 1


def _without(text: str, names: Sequence[str], instead: str) -> str:
    for name in names:
        text = text.replace(name, instead)
    return text


def _runs(client: Any) -> Iterator[Any]:
    experiments = [one.experiment_id for one in _pages(lambda token: client.search_experiments(page_token=token))]
    if experiments:
        yield from _pages(lambda token: client.search_runs(experiments, max_results=PAGE, page_token=token))


def _pages(ask: Callable[[str | None], Any]) -> Iterator[Any]:
    token: str | None = None
    while True:
        page = ask(token)
        yield from list(page)
        token = page.token
        if not token:
            return


def _files(client: Any, run: str, folder: str) -> Iterator[str]:
    for item in client.list_artifacts(run, folder or None):
        if item.is_dir:
            yield from _files(client, run, item.path)
        else:
            yield str(item.path)
