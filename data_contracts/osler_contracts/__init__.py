"""What may enter: header tables, data contracts, and the codes and errors that every floor shares."""
