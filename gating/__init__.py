"""cinegate's engine: cine-MRI frames in, beam-on/beam-off gate commands out. The safe state is beam off."""

import logging

from gating.tracking.zncc.kernel_cache import choose_cache_folder, kernels_are_compiled

__version__ = "0.2.0"

choose_cache_folder(__version__)
logging.getLogger("cinegate").addHandler(logging.NullHandler())  # who imports the library decides what it says

__all__ = ["__version__", "choose_cache_folder", "kernels_are_compiled"]
