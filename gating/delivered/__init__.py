"""What dose the target received: the planned dose, moved with the target as a session log saw it move."""
