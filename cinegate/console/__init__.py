"""The console: pages for the operator and the patient, served to a browser by a process of its own.

It listens to the wire as any other listener does, so it can neither block nor delay the gate path.
"""
