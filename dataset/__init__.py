"""Skeleton clips: published splits, files on disk, and batches of augmented views."""
