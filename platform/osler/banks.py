"""The concept banks of a workspace: each step saved at once, audited, and every version kept.

`knowledge/<task>.json` is the bank at hand and the authority; `knowledge/<task>/<version>.json` is the last state of
each version. Entries and words that the user brought for a task lie beside the versions.
"""

from __future__ import annotations

import fcntl
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from osler import audit
from osler.files import write_atomically
from osler.workspace import Workspace
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError, from_os_error
from osler_knowledge.bank import ConceptBank
from osler_knowledge.renewal import first_proposed, imported, renewed
from osler_knowledge.review import Reviewer

_TASK = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
Step = Callable[[ConceptBank], ConceptBank]


@dataclass(frozen=True)
class BankStore:
    """The bank of one task in one workspace.

    Attributes:
        workspace: The workspace.
        task: Name of the task.
    """

    workspace: Workspace
    task: str

    def __post_init__(self) -> None:
        if not _TASK.fullmatch(self.task):
            raise OslerError(
                Code.UNKNOWN_TASK,
                f"{self.task!a} cannot name a task.",
                "Use small letters, digits and dashes, such as my-finding.",
            )

    @property
    def path(self) -> Path:
        """The bank at hand."""
        return self.workspace.knowledge / f"{self.task}.json"

    @property
    def folder(self) -> Path:
        """The versions."""
        return self.workspace.knowledge / self.task

    @property
    def own_corpus(self) -> Path:
        """The entries that the user brought, if any, so that passages are found again."""
        return self.folder / "corpus"

    @property
    def own_lexicon(self) -> Path:
        """The words that the user brought, if any."""
        return self.folder / "lexicon.yaml"

    def exists(self) -> bool:
        """Return whether there is a bank."""
        return self.path.is_file()

    def load(self, version: int | None = None) -> ConceptBank:
        """Return the bank at hand, or an earlier version of it.

        Raises:
            OslerError: `bank-missing`, `bank-invalid`.
        """
        if not self.exists():
            raise OslerError(
                Code.BANK_MISSING,
                f"The workspace has no bank for {self.task}.",
                f"Run `osler knowledge propose --task {self.task}` first.",
            )
        bank = ConceptBank.load(self.path)
        if version is None or version == bank.version:
            return bank
        path = self.folder / f"{version}.json"
        if version > bank.version or not path.is_file():
            kept = ", ".join(map(str, self.versions()))
            raise OslerError(Code.BANK_MISSING, f"There is no version {version} of the bank.", f"There are: {kept}.")
        return ConceptBank.load(path)

    def versions(self) -> list[int]:
        """Return the numbers of the versions that are kept, the one at hand last."""
        if not self.exists():
            return []
        last = ConceptBank.load(self.path).version
        kept = {int(one.stem) for one in self.folder.glob("*.json") if one.stem.isdecimal()}
        return [*sorted(one for one in kept if one < last), last]

    def change(self, step: Step, who: Reviewer, action: str, concept: str = "") -> ConceptBank:
        """Take one step of review; it is audited, and on disk when this returns.

        Raises:
            OslerError: What the step raises; nothing is written then. As `osler.audit.record`.
        """
        with self._locked():
            held = self.load()
            return self._keep(step(held), who, action, concept)

    def propose(self, fresh: ConceptBank, who: Reviewer) -> ConceptBank:
        """Keep a bank that was proposed; what people decided on an earlier one stays (`osler_knowledge.renewal`)."""
        with self._locked():
            if not self.exists():
                return self._keep(first_proposed(fresh, who), who, "propose")
            held = self.load()
            joined = renewed(held, fresh, who)
            return held if joined is held else self._keep(joined, who, "propose")

    def bring(self, brought: ConceptBank, who: Reviewer) -> ConceptBank:
        """Keep a bank from elsewhere, which may only continue the one at hand.

        Raises:
            OslerError: `bank-mismatch`.
        """
        with self._locked():
            held = self.load() if self.exists() else None
            return self._keep(imported(held, brought), who, "import")

    def measured(self, step: Step) -> ConceptBank:
        """Keep a bank with figures measured anew: no step of review, hence not audited."""
        with self._locked():
            fresh = step(self.load())
            self._write(fresh)
            return fresh

    def _keep(self, bank: ConceptBank, who: Reviewer, action: str, concept: str = "") -> ConceptBank:
        audit.record(
            self.workspace,
            actor=who.by,
            action=f"knowledge.{action}",
            subject=bank.digest,
            details={"task": self.task, "version": str(bank.version), "concept": concept, "reason": who.reason},
        )
        self._write(bank)
        return bank

    def _write(self, bank: ConceptBank) -> None:
        content = bank.to_json().encode()
        try:
            write_atomically(self.folder / f"{bank.version}.json", content)
            write_atomically(self.path, content)
        except OSError as error:
            raise from_os_error(error) from None

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Let one process at a time change banks: two reviewers at once would each lose the other's step."""
        with (self.workspace.knowledge / ".lock").open("w") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            yield


def tasks_with_banks(workspace: Workspace) -> list[str]:
    """Return the tasks that have a bank in a workspace."""
    return sorted(one.stem for one in workspace.knowledge.glob("*.json") if _TASK.fullmatch(one.stem))
