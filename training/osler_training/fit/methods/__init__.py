"""The methods that experiments compare, a file each: `Options`, and `fit(problem, options, seed=...) -> Classifier`."""
