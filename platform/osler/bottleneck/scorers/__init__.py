"""Scorers: features to concepts. A module here is a kind of scorer; it names its class `SCORER`."""
