"""Truth that resembles patients: real stills moved by exactly known amounts, and a judge of trackers on it.

`people` finds the stills, `breathing` moves, `deformation` carries image and outline, `appearance` disturbs,
`scenarios` is the catalogue, `scene` makes the recordings. `subjects` gathers them with real recordings, `judge` and
`score` run a tracker over them, `table` prints and compares, `pictures` draws the worst frames.
"""
