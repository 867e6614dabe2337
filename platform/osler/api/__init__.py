"""The HTTP API: studies, explanations, corrections and patches for programs, by tokens with the dashboard's roles."""
