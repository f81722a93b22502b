"""One file per data plane, behind one small Protocol."""
