"""What fills the terminal: the list of runs, one run, a new one, help, and a question."""
