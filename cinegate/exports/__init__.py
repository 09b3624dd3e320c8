"""A session log in the formats of others: DICOM, Foxglove, columns, SlicerCineTrack. Only its verb imports it."""
