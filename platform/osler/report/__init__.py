"""Results out: what Osler says of a study as DICOM and FHIR, and on its way to a PACS."""
