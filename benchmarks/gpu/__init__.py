"""Measures the project on a GPU: is it right, how much memory does it take, how fast is it? See `command`."""
