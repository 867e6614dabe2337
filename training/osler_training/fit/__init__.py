"""From arrays and reports to groundings, heads, bottlenecks and the baselines beside them."""
