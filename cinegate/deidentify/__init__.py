"""Copies without identity: of session logs, recordings and DICOM files, under pseudonyms and at shifted times."""
