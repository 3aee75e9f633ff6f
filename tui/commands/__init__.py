"""The subcommands of `tombola`, a file each, named as they are called; `tui/main.py` lists them.

Each holds the function `command` and imports what it needs when it runs. `options.py` has what they share of the
command line, `output.py` how results are printed.
"""
