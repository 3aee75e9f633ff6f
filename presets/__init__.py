"""What can be run: experiments as TOML, grouped by paper, and the schema that reads them.

`schema/` holds the shape of an experiment, `loading.py` finds, extends, overrides and checks one; `explaining.py` and
`wording.py` say what is wrong with it, `forms.py` lists its settings.
Every other folder is a paper; a TOML file in it is a preset, named by its stem.
This house imports no other: it says what is wanted, never how it is done.
"""

__version__ = "0.1.0"
