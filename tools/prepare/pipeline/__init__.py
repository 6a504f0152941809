"""Recordings of any format to arrays: collect, normalise, write, resume."""
