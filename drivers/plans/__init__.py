"""Treatment plans as DICOM: planned dose, plan and structures, read and, for a water phantom, written."""
