"""May the beam be on? Reasons, the decision, its limits, arming."""
