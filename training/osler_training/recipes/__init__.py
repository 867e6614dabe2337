"""Declarative recipes of experiments, and the models that check them."""
