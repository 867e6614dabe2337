"""Quality of a concept bank before it is used: what images, reports and labels of an archive say of it (M20.1)."""
