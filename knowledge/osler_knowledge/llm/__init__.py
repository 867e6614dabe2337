"""A language server that speaks the OpenAI chat protocol, as a proposer of concepts and a source of priors."""
