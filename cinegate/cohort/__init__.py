"""One piece of work over many sessions, on this computer or on a cluster. Only its verb imports it."""
