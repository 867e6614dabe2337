"""Training of the small image-text encoder that Osler ships, on phantom image-report pairs."""
