"""Plain Flask on gunicorn's sync worker, with LiteRT and this project's decoding."""

import os

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from flask import Flask, Response, jsonify, request

from app import bundle, images

served = bundle.read(os.environ["MODEL"])
interpreter = Interpreter(str(served.path / bundle.MODEL), num_threads=1)
classify = interpreter.get_signature_runner("serving_default")
app = Flask(__name__)


@app.post("/predict")
def predict() -> Response:
    file = request.files["file"]
    image = images.decode(file.read(), served.width, served.height, served.resize)
    probabilities = classify(image=np.asarray(image.pixels, np.float32)[np.newaxis])["probabilities"][0]
    top = [
        {"label": served.labels[index], "index": index, "probability": round(float(probabilities[index]), 6)}
        for index in np.argsort(-probabilities)[:5].tolist()
    ]
    best = {"filename": file.filename, "label": top[0]["label"], "probability": top[0]["probability"], "top": top}
    return jsonify(model={"name": served.name, "version": served.version}, predictions=[best])
