"""What a session log holds: a summary for machines and tables, and one HTML page for people."""
