"""Adapting the model to a site, step by step: what moved, which studies, a proposal with its proof, a decision."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from html import escape

import streamlit as st

from osler.access import Action
from osler.adapt.adapters import RECOMMENDED
from osler.adapt.moved import Moved
from osler.adapt.proposal import Proposal
from osler_contracts.errors import OslerError
from osler_dashboard import adapt_services, services, session
from osler_dashboard.adapt_services import Choice
from osler_dashboard.components import frame, patch_card
from osler_dashboard.words import METHODS, percent, sentence, signed, site_name, spoken

AT_ONCE = 8
DAYS = 180
PROPOSED, TOLD = "adapt_proposed", "adapt_told"


def wizard(site: str) -> None:
    """Draw the steps; each appears once the one before it is done."""
    _step(1, f"Adapt which model to {site_name(site)}?")
    model = st.selectbox(
        "Model", adapt_services.models(), format_func=_model_name, label_visibility="collapsed", key="adapt_model"
    )
    try:
        _step(2, "What moved")
        _moved_signs(adapt_services.moved(site, model))
        _step(3, "Which studies show what the findings look like here?")
        chosen = _choose(site, model)
    except OslerError as error:
        _refusal(error)
        return
    if not chosen:
        return
    _step(4, "Proposal")
    _ask(site, model, chosen)
    held: tuple[tuple[object, ...], Proposal] | None = st.session_state.get(PROPOSED)
    if held is None or held[0] != _key(site, model, chosen):
        return
    _show(held[1], site)
    _step(5, "Decision")
    _decide(held[1], model, chosen)


def _model_name(name: str) -> str:
    return METHODS.get(name, spoken(name))


def _adapter_name(name: str) -> str:
    return f"{spoken(name)} (recommended)" if name == RECOMMENDED else spoken(name)


def _step(number: int, title: str) -> None:
    frame.html(f'<h3 class="o-step"><span>{number}</span> {escape(title)}</h3>')


def _refusal(error: OslerError) -> None:
    st.warning(f"{error.message} {error.mend}")


def _moved_signs(rows: tuple[Moved, ...]) -> None:
    beyond = [one for one in rows if one.beyond_chance]
    if not rows:
        frame.html('<p class="o-quiet">The model keeps no memory of its source: nothing can be compared.</p>')
        return
    told = f"{len(beyond)} of {len(rows)} signs are seen here more or less than at the source, beyond chance."
    frame.html(
        f"<p>{told}</p>"
        '<p class="o-quiet">Measured without any label. Other machines move signs, and so does another mix of patients: '
        "this alone does not say which.</p>"
    )
    frame.html(_moved_table(rows[:AT_ONCE]))
    if rows[AT_ONCE:]:
        with st.expander(f"{len(rows) - AT_ONCE} more"):
            frame.html(_moved_table(rows[AT_ONCE:]))


def _moved_table(rows: tuple[Moved, ...]) -> str:
    lines = "".join(
        f"<tr><td><b>{escape(sentence(one.name))}</b></td>"
        f'<td class="n o-nowrap">{one.source:.2f}</td><td class="n o-nowrap">{one.site:.2f}</td>'
        f'<td>{_bar(one.shift)}</td><td class="o-quiet o-nowrap">{"Moved" if one.beyond_chance else "Within chance"}</td></tr>'
        for one in rows
    )
    return (
        '<table class="o-table o-compact"><thead><tr><th>Sign</th><th class="n">Source</th><th class="n">Here</th>'
        f"<th>Difference, in the source's deviations</th><th></th></tr></thead><tbody>{lines}</tbody></table>"
    )


def _bar(shift: float) -> str:
    width, tone = min(abs(shift) / 2, 1) * 50, "o-more" if shift > 0 else "o-less"
    left = 50.0 if shift > 0 else 50 - width
    return f'<span class="o-shift"><i class="{tone}" style="left:{left:.1f}%;width:{width:.1f}%"></i></span> {signed(shift)}'


def _choose(site: str, model: str) -> dict[str, str]:
    """Let the engineer draw studies, and change the list; returns the class by study."""
    choice, classes = adapt_services.choice(site, model), services.explainer_of(model).pipeline.classes
    counts = ", ".join(f"{choice.count(name)} of {spoken(name).lower()}" for name in classes)
    unlabelled = len(choice.names) - len(choice.labels)
    frame.html(
        f"<p>{len(choice.names)} studies of this site can be read: {counts}, {unlabelled} without a label.</p>"
        '<p class="o-quiet">Four of each finding are enough to begin. They are drawn from those that came with a label, no two of '
        "one patient; take one out, or add one, wherever you know better.</p>"
    )
    left, right, _ = st.columns([2, 2, 6], vertical_alignment="bottom")
    shots = left.number_input("Of each finding", 1, adapt_services.MAX_SHOTS, 4, key="adapt_shots")
    if right.button("Draw others", key="adapt_redraw"):
        st.session_state["adapt_seed"] = st.session_state.get("adapt_seed", 0) + 1
    seed = int(st.session_state.get("adapt_seed", 0))
    drawn = adapt_services.drawn(site, model, int(shots), seed)
    given = {name: _listed(site, model, name, choice, drawn, (int(shots), seed)) for name in classes}
    return _labels(given, choice)


def _listed(
    site: str, model: str, name: str, choice: Choice, drawn: Mapping[str, str], of: tuple[int, int]
) -> list[str]:
    own = choice.of(name)
    found: list[str] = st.multiselect(
        f"Studies of {spoken(name).lower()}",
        own,
        default=[uid for uid, label in drawn.items() if label == name],
        format_func=lambda uid: choice.names[uid].rpartition(" · ")[2],
        key=f"adapt_{site}_{model}_{name}_{of}",
        placeholder="Choose studies",
    )
    return found


def _labels(given: Mapping[str, list[str]], choice: Choice) -> dict[str, str]:
    """Return the class by study, or nothing and say what is wrong."""
    chosen: dict[str, str] = {}
    for name, uids in given.items():
        for uid in uids:
            if uid in chosen:
                st.warning(
                    f"{choice.names[uid]} stands under {spoken(chosen[uid]).lower()} and under {spoken(name).lower()}: "
                    "decide on one."
                )
                return {}
            chosen[uid] = name
    missing = [spoken(name).lower() for name, uids in given.items() if not uids]
    if missing:
        st.warning(f"Choose at least one study of {' and of '.join(missing)}.")
        return {}
    return chosen


def _ask(site: str, model: str, chosen: Mapping[str, str]) -> None:
    today = datetime.now(UTC).date()
    with st.form("adapt_ask", border=False):
        until, how, go = st.columns([2, 3, 3], vertical_alignment="bottom")
        last = until.date_input("Holds until", today + timedelta(days=DAYS), min_value=today, key="adapt_until")
        adapter = how.selectbox(
            "How",
            adapt_services.adapters(),
            format_func=_adapter_name,
            key="adapt_how",
        )
        sent = go.form_submit_button("Propose a change", type="primary", width="stretch")
    frame.html('<p class="o-quiet">A proposal changes nothing yet.</p>')
    if not sent:
        return
    st.session_state.pop(PROPOSED, None)
    assert isinstance(last, date)
    who = session.require(Action.ADAPT)
    try:
        with st.spinner("Working it out"):
            made = adapt_services.proposal(site, model, adapter, chosen, created=today, expires=last, author=who.name)
    except OslerError as error:
        _refusal(error)
        return
    st.session_state[PROPOSED] = (_key(site, model, chosen), made)


def _key(site: str, model: str, chosen: Mapping[str, str]) -> tuple[object, ...]:
    return site, model, tuple(sorted(chosen.items()))


def _show(proposal: Proposal, site: str) -> None:
    patch = proposal.patch
    patch_card.changes(patch)
    if patch.guards:
        frame.kicker("Guards")
        patch_card.guards(patch)
    frame.kicker("On the studies that it was fitted on")
    before, after = proposal.right
    n = len(proposal.rows)
    frame.html(
        f"<p>{before} of {n} right before, {after} of {n} after.</p>"
        '<p class="o-quiet">It was fitted on these studies, so this proves nothing about others: the guards and studies '
        f"labelled later do. Elsewhere than at {escape(site_name(site))} nothing changes.</p>"
    )
    names = services.studies().names
    rows = "".join(
        f"<tr><td>{escape(names[one.study].rpartition(' · ')[2])}</td><td>{escape(spoken(one.label))}</td>"
        f"<td>{_said(one.before, one.before_probability, one.label)}</td>"
        f"<td>{_said(one.after, one.after_probability, one.label)}</td></tr>"
        for one in proposal.rows
    )
    frame.html(
        '<table class="o-table o-compact"><thead><tr><th>Study</th><th>Label</th><th>Before</th><th>After</th></tr></thead>'
        f"<tbody>{rows}</tbody></table>"
    )


def _said(finding: str, probability: float, label: str) -> str:
    mark, tone = ("✓", "for") if finding == label else ("✗", "against")
    return f'<b class="o-{tone}">{mark}</b> {escape(spoken(finding))} {percent(probability)}'


def _decide(proposal: Proposal, model: str, chosen: Mapping[str, str]) -> None:
    nothing = proposal.patch.changes_nothing
    if nothing:
        frame.html("<p>The model stays as it is here. Note the attempt, so that the next reader knows of it.</p>")
    with st.form("adapt_decide", border=False):
        why_box, first, second = st.columns([5, 3, 3], vertical_alignment="bottom")
        why = why_box.text_input("Reason", max_chars=300, key="adapt_why")
        accept = first.form_submit_button("Put it in force", type="primary", width="stretch", disabled=nothing)
        decline = second.form_submit_button("Note it" if nothing else "Decline", width="stretch")
    if not accept and not decline:
        return
    if not why.strip():
        st.warning("Give a reason: it is kept in the history.")
        return
    who = session.require(Action.ADAPT)
    try:
        with st.spinner("Keeping the decision"):
            adapt_services.decide(
                proposal,
                model,
                chosen,
                accepted=accept,
                on=datetime.now(UTC).date(),
                actor=who.name,
                why=why.strip(),
            )
    except OslerError as error:
        _refusal(error)
        return
    st.session_state.pop(PROPOSED, None)
    st.session_state[TOLD] = (
        "The change is in force. It can be switched off at any time."
        if accept
        else "The attempt is noted; nothing changed."
        if nothing
        else "The proposal is declined and kept; nothing changed."
    )
    st.session_state["adapting"] = None
    st.rerun()
