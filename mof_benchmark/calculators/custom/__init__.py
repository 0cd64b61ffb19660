"""Models that users upload: looked at without reading, taken apart and tried where they can do no harm.

`scan` looks at the bytes and runs nothing; `extract` turns a file into settings and bare weights;
`checks` tries the physics; `confinement` is what both run under; `validation` is their process and
`runner` starts it. Only `scan` is free of torch, so it is all the gateway imports.
"""
