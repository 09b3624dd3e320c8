"""The processes: engine and recorder, what they ask of the host, and who starts them."""
