"""Files of a folder under a prefix of the path, answered without the application (RFC 9110)."""
