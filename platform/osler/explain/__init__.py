"""Explanations: which concepts spoke for a finding, and the passage behind each."""
