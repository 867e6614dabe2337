"""How Streamlit is set up: its options, its colours, and the names under which a page finds workspace and model."""

from __future__ import annotations

WORKSPACE_VARIABLE = "OSLER_WORKSPACE"
MODEL_VARIABLE = "OSLER_MODEL"

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
}

# Ink on paper, one blue; what speaks for a finding is blue and what speaks against it orange, on every page.
FOR, AGAINST, INK, QUIET, PAPER, LINE = "#1F5F99", "#C25E12", "#1C2730", "#5B6770", "#FCFBF8", "#E3DFD6"

THEME = {
    "theme.base": "light",
    "theme.primaryColor": FOR,
    "theme.backgroundColor": PAPER,
    "theme.secondaryBackgroundColor": "#F2EFE8",
    "theme.textColor": INK,
    "theme.borderColor": LINE,
    "theme.linkColor": FOR,
    "theme.font": "sans-serif",
    "theme.headingFont": "serif",
    "theme.baseFontSize": "15",
    "theme.baseRadius": "6px",
    "theme.buttonRadius": "6px",
    "theme.showWidgetBorder": "true",
    "theme.headingFontWeights": "600",
}


def flags(*, address: str, port: int, headless: bool) -> list[str]:
    """Return the options of `streamlit run`."""
    place = {"server.address": address, "server.port": str(port), "server.headless": str(headless).lower()}
    return [f"--{name}={value}" for name, value in {**PRIVACY, **THEME, **place}.items()]
