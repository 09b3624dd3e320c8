"""Quality assurance: procedures, what a chain's records come to, tolerances, trends and their pages. Starts nothing."""
