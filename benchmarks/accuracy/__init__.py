"""The accuracy study on LSP Extended: which loss, which start, which decoding, what a teacher adds.

Everything is chosen on ``dev``, a part of the training pictures that nothing is trained on; ``val``
is looked at once, by the rows that :mod:`benchmarks.accuracy.rows` confirms after
``frozen.yaml`` has fixed the choices. Rows of one seed share initial weights, the order of the
pictures and their augmented views, as far as their options allow. What is evaluated are the last
step's averaged weights, never the best epoch's.
"""
