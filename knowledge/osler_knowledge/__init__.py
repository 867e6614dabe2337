"""From medical text to a concept bank: corpora, retrieval, proposal, prior, report annotation."""
