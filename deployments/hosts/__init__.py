"""The GPU host: one resident process per GPU slot that keeps models warm and computes stages.

`python -m deployments.hosts --gpu I` is a nanny (`__main__`, `nanny`) and the Dask worker it keeps
alive (`plugin` sets it up). `control` reports the slot and obeys commands, `sensors` look at the
device.
"""
