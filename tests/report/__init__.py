"""Tests of tools.report."""
