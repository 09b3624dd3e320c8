"""Runs QA procedures: joins `gating.qa`, which judges, with the real processes and with this machine."""
