"""The fault suite: a catalogue of faults, injected into real processes over real sockets, while the beam is timed.

`families` says what is injected and what must follow. Nothing here imports the engine under test, only its wire.
"""
