"""What stands around a command on the command line: help, words, exit codes."""
