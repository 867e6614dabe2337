"""Reruns of published tables on the files that their authors distribute, for users who hold them."""
