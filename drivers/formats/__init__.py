"""Vendors' files and messages, turned into frames. One format per file; no devices and no folders."""
