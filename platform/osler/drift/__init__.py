"""Drift at the door, on archived studies: their headers and images, a site's reference profile, and what a check said.

The statistics are `osler_contracts.drift`; here is where their figures come from and where they go.
"""
