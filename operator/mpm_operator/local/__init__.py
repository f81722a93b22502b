"""The same YAML on one machine: child processes instead of pods."""
