"""Models of other libraries: their weights, settings and folders, read strictly and written so that they can read them.

Nothing is unpickled, and nothing that a file names is run.
"""
