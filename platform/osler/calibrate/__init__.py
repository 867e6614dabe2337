"""Calibration at a site, and "I do not know": a temperature, operating points and prediction sets, dated and expiring."""
