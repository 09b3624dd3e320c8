"""cinegate's engine: cine-MRI frames in, beam-on/beam-off gate commands out. The safe state is beam off."""

__version__ = "0.1.0"
