"""What people touch: the command `tombola`, the terminal app, and plots drawn as text.

`main.py` is the command with all its subcommands in `commands/`, `app/` the terminal app. `launch.py` starts engines,
`following.py` watches one; `report.py` puts a run's results into words, `questions.py` the answers of its checks,
`curves.py` says what is seen of curves of members, `drawing.py` draws plots. Commands are thin: they ask the store
(`store.reading`) or change a row (`store.editing`), and print.

This house imports presets and store, never engine and never torch: what only torch can tell is asked of a process,
`python -m engine plan`. Text that a person or a file gave goes through `plain.py` before it reaches a terminal. Results
go to stdout, all else to stderr; exit codes are 0 done, 1 failed, 2 wrong usage, 130 interrupted.
"""
