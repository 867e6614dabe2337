"""Reading DICOM: headers without pixels, pixels with their history, views."""
