"""Pure functions of arrays: no I/O, no configuration, no logging."""
