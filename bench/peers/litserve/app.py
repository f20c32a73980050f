"""LitServe, a model server that installs from PyPI, with LiteRT and this project's decoding."""

import os

import litserve
import numpy as np
from ai_edge_litert.interpreter import Interpreter
from fastapi import Request

from app import bundle, images


class Classifier(litserve.LitAPI):
    def setup(self, device: str) -> None:  # noqa: ARG002 - required by LitServe
        self.served = bundle.read(os.environ["MODEL"])
        self.interpreter = Interpreter(str(self.served.path / bundle.MODEL), num_threads=1)
        self.classify = self.interpreter.get_signature_runner("serving_default")

    def decode_request(self, request: Request) -> tuple[str, np.ndarray]:
        served, file = self.served, request["file"]  # LitServe passes the parsed form
        image = images.decode(file.file.read(), served.width, served.height, served.resize)
        return file.filename, np.asarray(image.pixels, np.float32)[np.newaxis]

    def predict(self, decoded: tuple[str, np.ndarray]) -> tuple[str, np.ndarray]:
        return decoded[0], self.classify(image=decoded[1])["probabilities"][0]

    def encode_response(self, output: tuple[str, np.ndarray]) -> dict:
        (filename, probabilities), served = output, self.served
        top = [
            {"label": served.labels[index], "index": index, "probability": round(float(probabilities[index]), 6)}
            for index in np.argsort(-probabilities)[:5].tolist()
        ]
        best = {"filename": filename, "label": top[0]["label"], "probability": top[0]["probability"], "top": top}
        return {"model": {"name": served.name, "version": served.version}, "predictions": [best]}


if __name__ == "__main__":
    server = litserve.LitServer(Classifier(api_path="/predict"), accelerator="cpu", workers_per_device=2)
    server.run(host="127.0.0.1", port=int(os.environ["PORT"]), generate_client_file=False, log_level="warning")
