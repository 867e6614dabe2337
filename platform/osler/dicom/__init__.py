"""Reading DICOM: headers without pixels, pixels with their history, views."""

import logging

# These libraries quote the values that they complain about. What they find is counted by kind instead.
for _library in ("pydicom", "openjpeg", "libjpeg", "rle"):
    logging.getLogger(_library).propagate = False
