"""The convolution link with the fast CPU path."""

import chainer.links as L

from branchynet.functions import convolution_2d


class Convolution2D(L.Convolution2D):
    """`chainer.links.Convolution2D` through `branchynet.functions.convolution_2d`.

    Arguments, parameters (W, b) and their initial values are Chainer's; dilated and grouped convolutions compute in
    Chainer's own way.
    """

    def forward(self, x):
        """(N, in_channels, H, W) -> (N, out_channels, out_h, out_w)."""
        if self.groups != 1 or self.dilate != (1, 1):
            return super().forward(x)
        if self.W.array is None:
            self._initialize_params(x.shape[1])
        return convolution_2d(x, self.W, self.b, self.stride, self.pad)
