"""A site's own trackers: a network as ONNX file, and registration by scikit-image."""
