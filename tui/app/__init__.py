"""The terminal app: `app.py` holds it together, `screens/` what fills the terminal, `widgets/` what a screen shows.

The app reads the store through `watching.py`, a thread that hands over whole snapshots (`store/live.py`), and never
waits for it. `actions.py` is the one table of keys. Nothing here trains: an experiment is a process of its own, which
the app starts, watches and asks things of through the store.
"""
