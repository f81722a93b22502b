"""The command `mpm`: one file per verb."""
