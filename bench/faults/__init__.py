"""The fault suite: a catalogue of faults, injected into real processes over real sockets, with a stopwatch on the beam.

`catalogue.toml` says what is injected and what must follow; nothing here imports the engine under test, only its wire.
"""
