"""Heads: concepts to class logits. A module here is a kind of head; it names its class `HEAD`."""
