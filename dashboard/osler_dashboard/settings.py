"""How Streamlit is set up: its options, its colours, and the names under which a page finds workspace and model."""

from __future__ import annotations

WORKSPACE_VARIABLE = "OSLER_WORKSPACE"
MODEL_VARIABLE = "OSLER_MODEL"
IDLE_VARIABLE, LONGEST_VARIABLE = "OSLER_SESSION_IDLE", "OSLER_SESSION_LONGEST"  # minutes
LOCAL_NAME_VARIABLE, LOCAL_ROLES_VARIABLE = "OSLER_LOCAL_NAME", "OSLER_LOCAL_ROLES"
BROWSER_VARIABLE = "OSLER_OPEN_BROWSER"
CROSSWALK_VARIABLE = "OSLER_CROSSWALK_FILE"

COOKIE = "osler_session"
LOOPBACK = ("127.0.0.1", "localhost", "::1")

# Nothing is sent home, and a trace, which can hold a patient's value, is never shown.
PRIVACY = {
    "browser.gatherUsageStats": "false",
    "client.showErrorDetails": "none",
    "client.showErrorLinks": "false",
    "server.showEmailPrompt": "false",
    "server.enableStaticServing": "false",
    "server.fileWatcherType": "none",
    "client.toolbarMode": "minimal",
    "logger.level": "warning",
    "logger.enableRich": "false",
}

# Streamlit would look through all that the server holds after each run, a model and thousands of studies: half a second in
# which nobody else is served. Python does so by itself when enough has changed.
PACE = {"runner.postScriptGC": "false"}

# What every answer of the server carries: nothing is loaded from elsewhere, nothing is sent elsewhere, no page frames ours,
# and no other site is told an address of ours. Streamlit's own scripts need `unsafe-inline` and `unsafe-eval`.
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob: data:; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' data: blob:; worker-src 'self' blob:; "
        "object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}

# Ink on paper, one blue; what speaks for a finding is blue and what speaks against it orange, on every page. Two hues that
# people with any colour vision tell apart, and everywhere a sign beside the colour.
FOR, AGAINST, QUIET = "#3B82C4", "#D0702A", "#7D8890"  # in charts, on either paper (3:1, WCAG 2.2 1.4.11)

LIGHT = {
    "primaryColor": "#1F5F99",
    "backgroundColor": "#FCFBF8",
    "secondaryBackgroundColor": "#F2EFE8",
    "textColor": "#1C2730",
    "borderColor": "#CFC9BB",
    "linkColor": "#1F5F99",
}
DARK = {
    "primaryColor": "#2A74B8",
    "backgroundColor": "#14191D",
    "secondaryBackgroundColor": "#1E252A",
    "textColor": "#EAE7E0",
    "borderColor": "#3B454C",
    "linkColor": "#8CC0F0",
}
SHAPE = {
    "font": "sans-serif",
    "headingFont": "serif",
    "baseFontSize": "15",
    "baseRadius": "6px",
    "buttonRadius": "6px",
    "showWidgetBorder": "true",
    "headingFontWeights": "600",
}
THEME = {
    **{f"theme.{name}": value for name, value in SHAPE.items()},
    **{f"theme.light.{name}": value for name, value in LIGHT.items()},
    **{f"theme.dark.{name}": value for name, value in DARK.items()},
}


def flags(*, address: str, port: int) -> list[str]:
    """Return the options of `streamlit run`; the browser is opened by us, at the address that lets in."""
    place = {"server.address": address, "server.port": str(port), "server.headless": "true"}
    return [f"--{name}={value}" for name, value in {**PRIVACY, **PACE, **THEME, **place}.items()]
