"""Before the first question: every study is encoded and every site measured, beside those who ask already.

What a model says of other studies rests on the whole archive, and reading that anew for a question takes seconds. It is done
by an explainer of its own, whose features the others then find in the cache.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial

from osler.api.held import Held
from osler.explain.service import StudyExplainer
from osler.files import locked
from osler_contracts.errors import OslerError

LOCK = ".api-warming.lock"


def warm(held: Held) -> None:
    """Encode what was not encoded, measure every site, and let the server's own explainer read it.

    What goes wrong is told at the first question, and by /health/ready.
    """
    try:
        own = StudyExplainer(held.workspace, held.model_name())
        with locked(held.workspace.cache / LOCK):  # the workers that come after find everything done
            first = {study.site: study.uid for study in reversed(own.archive.studies())}
            for site in first:
                with suppress(OslerError):
                    own.surroundings.gather(site)
        for uid in first.values():
            held.turns.begin(partial(_explain, held, uid))
        held.turns.begin(held.warmed.set)
    except (OslerError, OSError, RuntimeError):
        held.warmed.set()


def _explain(held: Held, uid: str) -> None:
    with suppress(OslerError):
        held.explainer().explain(uid)
