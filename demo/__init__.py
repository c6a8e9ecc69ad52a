"""The circle once round, through commands and HTTP only."""
