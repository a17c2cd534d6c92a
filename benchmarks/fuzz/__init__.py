"""Mutated files of every kind that worldplan reads, given to the command line."""
