"""What goes wrong, and where: the mistakes of a judged candidate, and labels that are probably wrong themselves.

`config` says how much is looked for; `mistakes` ranks the confident ones and the pairs that are confused; `lengths`
asks whether long texts are harder; `label_errors` finds labels to check; `pictures` and `report` write it down.
"""
