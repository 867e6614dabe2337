"""What researchers run: phantoms, fitting, experiments under shift, the demonstration."""
