"""How the queue scales: `./mofsim bench queue`.

`decision` times placement with a long queue, `busy` keeps many slots at work, `single_slot` holds
short tasks on one slot against the bare loop. What is real in each and what the benchmark plays is
said by its figures (`Figure.note`).
"""
