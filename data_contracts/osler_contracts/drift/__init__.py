"""Drift at the door: does what arrives now look like what arrived when the model was fitted?

`fields` says what is watched, `observations` lays it out with each patient counted once, `reference` keeps a site's
reference, `divergence` and `sureness` measure and judge a difference, `onset` finds since when, `compare` puts them
together into the `report`.
"""
