"""What a network list is written with: links with parameters, `FL` for plain functions, `Branch` at the exit points."""

from branchynet.links.batch_normalization import BatchNormalization
from branchynet.links.convolution_2d import Convolution2D
from branchynet.links.layers import FL, Branch, Layers, apply_layers, count_common
from branchynet.links.res_block import ResBlock

__all__ = ["FL", "BatchNormalization", "Branch", "Convolution2D", "Layers", "ResBlock", "apply_layers", "count_common"]
