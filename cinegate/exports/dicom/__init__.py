"""A session as DICOM: cine, structure set, structured report and the report as PDF, and how they are sent."""
