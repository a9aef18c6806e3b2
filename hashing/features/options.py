"""How a photo becomes a float descriptor: what a user may choose. Imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from hashpipe.common.option_values import Options


@dataclass(frozen=True)
class BackboneOptions(Options):
    """How a photo becomes a float descriptor."""

    backbone: str | None = field(
        default=None,
        metadata={
            "help": "any torchvision classification network (resnet50, mobilenet_v2, ...), or timm:NAME, or onnx:FILE "
            "(a graph from photos to vectors), or vlad (SIFT, needs no weights), or several networks of torchvision "
            "with commas between, whose descriptors stand side by side; without it the first common network whose "
            "ImageNet weights torch has cached, else vlad",
            "metavar": "NAME",
        },
    )
    weights: str | None = field(
        default=None,
        metadata={
            "help": "weights of the network: a .safetensors or .pth file, or imagenet for torchvision's own "
            "(downloaded where torch has not cached them); of several networks one file for each; of timm:NAME also "
            "local-dir:FOLDER with config.json and model.safetensors, or pretrained (a download)",
            "metavar": "FILE|imagenet",
        },
    )
    pooling: Literal["gem", "mac", "spoc", "cls", "mean", "cls+mean"] | None = field(
        default=None,
        metadata={
            "help": "pooling: of the last feature map generalised mean (gem, p=3), maximum (mac) or mean (spoc); of a "
            "transformer's tokens, with timm, the first (cls), the mean, or both; without it gem, or cls where there "
            "is one, else mean",
            "hidden": True,
        },
    )
    image_size: int | None = field(
        default=None,
        metadata={
            "help": "longest side in pixels that photos are shrunk to, 384 for networks, for vlad the size that the "
            "3D models used; smaller photos are enlarged at most five times",
            "min": 32,
            "max": 4096,
            "metavar": "PIXELS",
            "hidden": True,
        },
    )
    scales: tuple[float, ...] = field(
        default=(1.0,),
        metadata={
            "help": "image scales; descriptors are averaged over them",
            "min": 0.1,
            "max": 2.0,
            "metavar": "X[,X...]",
            "hidden": True,
        },
    )
    graph_range: float | None = field(
        default=None,
        metadata={
            "help": "largest value of a pixel that the graph of onnx:FILE takes, before mean and deviation: 1 or 255; "
            "its metadata say, else 1",
            "min": 1.0,
            "max": 65535.0,
            "hidden": True,
        },
    )
    graph_mean: tuple[float, ...] | None = field(
        default=None,
        metadata={
            "help": "mean of red, green and blue that the graph of onnx:FILE takes off; its metadata say, else "
            "ImageNet's",
            "metavar": "R,G,B",
            "hidden": True,
        },
    )
    graph_std: tuple[float, ...] | None = field(
        default=None,
        metadata={
            "help": "deviation of red, green and blue that the graph of onnx:FILE divides by; its metadata say, else "
            "ImageNet's",
            "metavar": "R,G,B",
            "hidden": True,
        },
    )
    words: int = field(default=64, metadata={"help": "visual words of vlad", "min": 2, "max": 1024, "hidden": True})
    device: Literal["auto", "cpu", "cuda"] = field(
        default="auto", metadata={"help": "where networks run; auto takes a GPU where one is present", "hidden": True}
    )
