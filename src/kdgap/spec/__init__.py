"""What a user asks for: typed, validated, and with an identity.

`run.RunSpec` states one run completely; `identity.run_id` is the digest of everything in it that
can change the result. `study.StudySpec` is a whole study, `claims.ClaimsFile` claims about other
people's runs, and `flat.FlatConfig` the flat YAML file of the reference study's commands. Nothing
here knows of torch, so both wings of the house can read a specification; each module is imported by
its own name, so that a command loads what it needs and no more.
"""
