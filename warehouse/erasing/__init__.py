"""Erasing a person: who it is, what is kept of the erasure, and the proof that the files are gone."""
