"""Following a target through cine frames: matching, contour propagation and a calibrated confidence."""
