"""The typed gate: what each of our own files must look like before anything in it is believed.

One model a file. A model checks what readers rely on and lets other keys pass, so that a newer
version may add some. `gate` has what all share and checks, `run` and `study` the files of the two
directories; an import's stand beside its directory, in `imports/schema.py`.
"""
