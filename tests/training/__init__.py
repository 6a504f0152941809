"""Tests of tools/training."""
