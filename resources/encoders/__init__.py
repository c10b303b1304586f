"""Encoders: images and texts in, unit vectors out, all run by OpenVINO."""

from resources.encoders.base import EncodedBatch, Encoder
from resources.encoders.loading import load_encoder
from resources.encoders.spec import EncoderSpec

__all__ = ["EncodedBatch", "Encoder", "EncoderSpec", "load_encoder"]
