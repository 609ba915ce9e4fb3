"""Other people's result files: found, read through a gate, compared, placed and kept.

`sources` and `archives` find files, `source_files` keeps what was passed over, `foreign` reads
them, `gate` lets only numbers pass, `percent` converts; `bookkeeping` tells what is no setting;
`merging`, `copies` and `splits` compare runs; `roles` says what each is for, `recipe` what they
share; `imported` does all of it and `directory` keeps it, with `findings` of what is odd.
"""
