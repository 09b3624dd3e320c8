"""How every page looks: its frame, tables, plots and pictures. What a page says is up to the room that writes it."""
