"""The residual block of B-ResNet (He et al., arXiv 1512.03385, with option A shortcuts)."""

import chainer
import chainer.functions as F

from branchynet.links.batch_normalization import BatchNormalization
from branchynet.links.convolution_2d import Convolution2D


class ResBlock(chainer.Chain):
    """Two 3x3 convolutions with batch normalisation around an identity shortcut.

    Where the block halves the image or adds channels, the shortcut is subsampled and padded with zero channels: it
    has no parameters, as in the authors' code.

    Args:
        in_channels, out_channels: channels of the input and of the output, in <= out.
        stride: of the first convolution.
    """

    def __init__(self, in_channels, out_channels, stride=1):
        super().__init__()
        self.stride = stride
        self.added_channels = out_channels - in_channels
        initialW = chainer.initializers.HeNormal()
        with self.init_scope():
            self.conv1 = Convolution2D(
                in_channels, out_channels, 3, stride=stride, pad=1, nobias=True, initialW=initialW
            )
            self.bn1 = BatchNormalization(out_channels)
            self.conv2 = Convolution2D(out_channels, out_channels, 3, pad=1, nobias=True, initialW=initialW)
            self.bn2 = BatchNormalization(out_channels)

    def forward(self, x):
        """(N, in_channels, H, W) -> (N, out_channels, ceil(H / stride), ceil(W / stride))."""
        h = F.relu(self.bn1(self.conv1(x)))
        h = self.bn2(self.conv2(h))
        return F.relu(h + self._shortcut(x))

    def _shortcut(self, x):
        if self.stride > 1:
            x = x[:, :, :: self.stride, :: self.stride]
        if self.added_channels:
            n, _, height, width = x.shape
            zeros = self.xp.zeros((n, self.added_channels, height, width), dtype=x.dtype)
            x = F.concat([x, zeros], axis=1)
        return x
