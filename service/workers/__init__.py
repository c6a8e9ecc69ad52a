"""Several worker processes behind one address: their number, their parent, and the messages between them."""
