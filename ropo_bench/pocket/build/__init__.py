"""Rebuilding the pocket world's shipped files from nothing."""
