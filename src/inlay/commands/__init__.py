"""The bodies of the command line's verbs; each module imports what it works with when it is called."""
