"""cinegate's engine: cine-MRI frames in, beam-on/beam-off gate commands out. The safe state is beam off."""

import logging

from gating.tracking.zncc.kernel_cache import choose_cache_folder

__version__ = "0.2.0"

choose_cache_folder(__version__)
logging.getLogger("cinegate").addHandler(logging.NullHandler())  # who imports the library decides what it says
