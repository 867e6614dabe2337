"""Damaged DICOM files, made on purpose, and decoders to hold the outcome against."""
