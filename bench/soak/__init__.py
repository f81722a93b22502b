"""A steady load on a real cluster while everything changes that can be changed."""
