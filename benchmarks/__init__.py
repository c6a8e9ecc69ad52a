"""What is measured, beside peers where there are some: serving, training, monitoring. README.md lists the commands."""
