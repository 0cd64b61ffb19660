"""What a stack survives: `./mofsim bench chaos`.

Real tasks run on simulated GPUs while every kind of process is killed, again and again. `work` is
the tasks and their right results, `strikes` what is done to the stack, `watch` how it is seen from
outside, `verdict` what must hold in the end.
"""
