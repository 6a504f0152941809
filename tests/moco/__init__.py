"""Tests of moco."""
