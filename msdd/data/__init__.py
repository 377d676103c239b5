"""Photographs, crops and prepared shards; images between files, uint8 and [-1, 1]."""
