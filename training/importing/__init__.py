"""Import an existing model as a bundle.

`loaders` converts the model to LiteRT, if it is not a LiteRT file already. The LiteRT graph (`graph`) then gets what
the server needs:

- an input adapter from RGB 0-255 to the values that the network was trained on (`input_adapter`),
- an output adapter from the network's outputs to probabilities (`output_adapter`),
- the signature for heatmaps, if the network ends in global average pooling and one dense layer (`classifier_head`).

The graph itself is edited, because no converter can process a .tflite file again. So .tflite files and Keras models are
treated alike. `importer` runs the steps in this order.
"""
