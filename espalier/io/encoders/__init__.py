"""Encoders: images and texts in, unit vectors out, all run by OpenVINO."""

from espalier.io.encoders.encoder import Encoder
from espalier.io.encoders.loading import load_encoder
from espalier.io.encoders.runner import EncodedBatch
from espalier.io.encoders.spec import EncoderSpec

__all__ = ["EncodedBatch", "Encoder", "EncoderSpec", "load_encoder"]
