"""Runtimes: how the model files of each kind of bundle are loaded and run.

Each module registers one or more kinds with `register_runtime`; every module of this folder is imported before a bundle
is loaded, so adding a kind is adding one file. A module imports what its libraries take seconds for when it loads a
model, not when it is imported.
"""
