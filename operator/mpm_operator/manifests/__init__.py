"""Pure builders of the children of a WebServer, as dicts."""
