"""Several worker processes behind one address: their number, their parent, and what they tell one another."""
