"""The SQLite file: its schema, writing and reading.

This house imports no other and never torch: rows in, rows out. Tensors lie beside the store as safetensors files,
named by their SHA-256; the store knows only their hashes.

- `migrations.py` makes the tables and views, `schema.py` says what each column means, `connection.py` opens the file,
  `mounts.py` knows which file systems are shared, `clock.py` what time it is there.
- `writing.py` is for the engine, `editing.py` for the short changes that commands and the app make.
- `reading.py` gives rows to whoever asks, `report.py` what a report asks, `answers.py` what checks answered;
  `liveness.py` tells whether an engine still lives.
- `live.py` is what the app shows: the list of runs and a run at a glance; `viewing.py` all of a run, `comparing.py`
  several.
- `spool.py` keeps what a run cannot write into the store now, `checking.py` tells whether a store is whole.
- `places.py` and `files.py` know where things lie, `naming.py` what a training is called, `statistics.py` the
  intervals, `errors.py` what may go wrong, `soundness.py` what no Tombola has written.

`PROMISES.md` says what holds of runs, store and files whatever happens, and which test holds it.

Only `writing.py` imports sqlite_utils, which is slow to start; everything else keeps to the standard library.
"""
