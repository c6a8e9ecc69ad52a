"""The champion is watched: windows, drift, accuracy from delayed labels, verdict, report."""
