"""The decision, pure: values in, values out; the time is an argument."""
