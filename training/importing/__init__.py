"""A model made elsewhere becomes a bundle.

Whatever it comes as, it is first brought to LiteRT (`originals`). What serving asks for is then written into that one
graph (`graph`): pixels to what the network was trained on (`entrance`), outputs to probabilities (`answers`), and the
heatmap (`heatmap`). So a .tflite, which no converter can wrap, gets the same as a Keras model, and serving needs no
special case. `imported` is the order of the steps.
"""
