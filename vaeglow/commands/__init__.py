"""What `vaeglow COMMAND` runs, a function a command (docs/python.md)."""
