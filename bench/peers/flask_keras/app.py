"""Flask with Keras' `predict`, as in most tutorials: decode the whole image, resize it, run the model."""

import os

import keras
import numpy as np
from flask import Flask, Response, jsonify, request
from PIL import Image

from app import bundle, images

served = bundle.read(os.environ["MODEL"])  # for the labels and the part of the image that the model receives
model = keras.models.load_model(os.environ["KERAS_MODEL"], compile=False)
app = Flask(__name__)


@app.post("/predict")
def predict() -> Response:
    file = request.files["file"]
    image = Image.open(file).convert("RGB")
    box = images.crop_box(image.size, served.width, served.height, served.resize)
    image = image.resize((served.width, served.height), Image.Resampling.BICUBIC, box)
    probabilities = model.predict(np.asarray(image, np.float32)[np.newaxis], verbose=0)[0]
    top = [
        {"label": served.labels[index], "index": index, "probability": round(float(probabilities[index]), 6)}
        for index in np.argsort(-probabilities)[:5].tolist()
    ]
    best = {"filename": file.filename, "label": top[0]["label"], "probability": top[0]["probability"], "top": top}
    return jsonify(model={"name": served.name, "version": served.version}, predictions=[best])
