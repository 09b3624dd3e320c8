"""Contours in pixels, and the image plane in the patient."""
