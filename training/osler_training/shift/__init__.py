"""The shift lab: one recipe, every encoder, preprocessing and method on the same splits, and a page to publish."""
