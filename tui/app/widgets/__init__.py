"""What a screen shows. Panels are functions from a snapshot to lines of text; `canvas.py` puts lines on the screen."""
