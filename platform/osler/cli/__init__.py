"""The command line. Modules here import nothing heavy, so that `osler --help` stays quick."""
