"""Phantom hospitals: simulated chest radiographs with known truth, as DICOM files with reports."""
