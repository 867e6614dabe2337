"""Protocols that are run and logged: confounding, adaptation, sweeps."""
