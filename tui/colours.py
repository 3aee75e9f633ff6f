"""Colours that tell series apart: of plots, and of whatever stands beside them."""

COLOURS = (33, 208, 29, 163, 147, 130, 41, 175)
"""Colours of series, of the 256 that every terminal has: no two within 18 of CIELAB for any of the usual ways to see
(Machado et al. 2009: protan, deutan, tritan), readable on black and on white; of 16 colours they become seven."""
