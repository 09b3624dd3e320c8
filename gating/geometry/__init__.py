"""Contours on the pixel grid, and the image plane in the patient."""
