"""Measured concepts: from an image to segmented structures to named measurements with units, without any learning."""
