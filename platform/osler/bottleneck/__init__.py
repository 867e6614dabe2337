"""Concept bottlenecks at inference: records, protocols, encoders, scorers, heads, pipelines and their files."""
