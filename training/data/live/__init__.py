"""Live texts whose truth came back, learned from and judged by beside the experiment's own data.

`config` says which; `reading` takes them from the prediction store or a file; `dividing` puts them into the parts.
"""
