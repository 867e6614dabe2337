"""The bench of few-shot adaptation: adapters by label-free preprocessing by site by shots, over many support draws."""
