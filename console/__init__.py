"""The console command `champion`: every command of the project under one name."""
