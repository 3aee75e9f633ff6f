"""The SQLite file: its schema, writing and reading.

This house imports no other and never torch: rows in, rows out. Tensors lie beside the store as safetensors files,
named by their SHA-256; the store knows only their hashes.
"""
