"""The demonstration: the whole way from DICOM files of two phantom hospitals to an adapted, explained model."""
