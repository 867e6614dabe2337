"""The pages: where each lies, and what a person must be allowed to do to see it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from osler.access import Action, Person

# Streamlit serves a folder named `pages` by itself, without our frame, to whoever opens an address before the first page.
VIEWS = Path(__file__).resolve().parent / "views"


@dataclass(frozen=True)
class Listing:
    """A page.

    Attributes:
        name: Its address, and the name of its file.
        title: As the navigation shows it.
        icon: Its Material symbol.
        needs: Actions of which one must be allowed.
    """

    name: str
    title: str
    icon: str
    needs: tuple[Action, ...]

    @property
    def path(self) -> Path:
        """Its file."""
        return VIEWS / f"{self.name}.py"

    def open_to(self, person: Person) -> bool:
        """Return whether a person may see it."""
        return any(person.may(action) for action in self.needs)


PAGES = (
    Listing("worklist", "Worklist", ":material/list:", (Action.VIEW_STUDIES,)),
    Listing("study", "Study", ":material/radiology:", (Action.VIEW_STUDIES,)),
    Listing("patient", "Patient", ":material/person_search:", (Action.LOOK_UP_PATIENT,)),
    Listing("reader_study", "Reader study", ":material/assignment:", (Action.TAKE_PART, Action.RUN_READER_STUDY)),
    Listing("results", "Shift lab", ":material/monitoring:", (Action.VIEW_RESULTS,)),
    Listing("sites", "Site", ":material/tune:", (Action.VIEW_SITE,)),
    Listing("knowledge", "Knowledge", ":material/menu_book:", (Action.VIEW_KNOWLEDGE,)),
    Listing("audit", "Audit", ":material/receipt_long:", (Action.READ_AUDIT,)),
    Listing("accounts", "Accounts", ":material/group:", (Action.MANAGE_ACCOUNTS,)),
)


def listed() -> tuple[Listing, ...]:
    """Return the pages of this installation."""
    return tuple(page for page in PAGES if page.path.is_file())


def address(name: str) -> str:
    """Return what `st.switch_page` takes to open a page."""
    return f"views/{name}.py"
