"""A live session with a site's own source: four processes, armed by an operator, ended after forty decisions.

Install the source first: pip install ./examples/site_driver
"""

import tempfile

import cinegate

DISC = (30, 38, 21, 21)
decisions = 0
with cinegate.run("our_scanner", DISC, options={"frames_per_s": 8}, log=tempfile.mkdtemp()) as session:
    print(session.arm("physicist").text)
    for message in session:
        if isinstance(message, cinegate.GateCommand) and not message.renewal:
            decisions += 1
            print(f"frame {message.frame_sequence}: {message.state}, {message.reason}")
        elif isinstance(message, cinegate.Event):
            print(f"{message.role}: {message.text}")
        if decisions == 40:
            print(session.disarm("physicist").text)
            break

summary = cinegate.read_session(session.log).summary
print(f"{summary.frames_decided} frames decided, beam on for {summary.beam_on_s:.1f} s; log: {session.log}")
