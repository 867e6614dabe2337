"""What pages share: the viewer, the list of signs, frames and words. They take plain values and draw them."""
