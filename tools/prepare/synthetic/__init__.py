"""Invented recordings, written as genuine NTU files."""
