"""FastAPI on uvicorn, with LiteRT and this project's decoding.

The handler runs in the event loop. A thread pool would only add overhead, because with one process per core the event
loop has no other work.
"""

import os

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from fastapi import FastAPI, UploadFile
from fastapi.responses import JSONResponse

from app import bundle, images

served = bundle.read(os.environ["MODEL"])
interpreter = Interpreter(str(served.path / bundle.MODEL), num_threads=1)
classify = interpreter.get_signature_runner("serving_default")
app = FastAPI()


@app.post("/predict")
async def predict(file: UploadFile) -> JSONResponse:
    image = images.decode(await file.read(), served.width, served.height, served.resize)
    probabilities = classify(image=np.asarray(image.pixels, np.float32)[np.newaxis])["probabilities"][0]
    top = [
        {"label": served.labels[index], "index": index, "probability": round(float(probabilities[index]), 6)}
        for index in np.argsort(-probabilities)[:5].tolist()
    ]
    best = {"filename": file.filename, "label": top[0]["label"], "probability": top[0]["probability"], "top": top}
    return JSONResponse({"model": {"name": served.name, "version": served.version}, "predictions": [best]})
