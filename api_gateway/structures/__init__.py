"""Structures: uploaded, built in, or sent inline; parsed in a process apart, kept in canonical form."""
