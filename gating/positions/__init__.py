"""Where targets are and will be, for machines that follow them: a listener of its own beside the gate path."""
