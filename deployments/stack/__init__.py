"""The embedded stack: every part of mofsim on one machine, from one home folder.

`lifecycle` starts and stops it, `parts` says what runs, `supervision` keeps it alive (Supervisor),
`postgres` and `prefect_server` are the two servers that need more than a command line, `home`
guards the folder, `leftovers` finds processes of a stack whose supervisor died.
"""
