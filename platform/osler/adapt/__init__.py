"""Few-shot adaptation to a site: adapters, their guards, and the patch that records the change."""
