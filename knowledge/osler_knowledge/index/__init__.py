"""An index of text on disk: built in bounded memory, searched without loading it."""
