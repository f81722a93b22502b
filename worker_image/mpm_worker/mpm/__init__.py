"""The Multi-Processing Modules: prefork, worker, event."""
