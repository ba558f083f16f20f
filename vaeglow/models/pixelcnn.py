"""The Gated PixelCNN (van den Oord et al. 2016, "Conditional Image Generation with PixelCNN Decoders"), the baseline.

Table 2 cites it. P(x) = prod_i P(x_i | x_<i) over all pixels in raster order, and in a pixel over its channels (section
2). Each layer has two stacks (section 2.2, figure 2): the vertical one sees the rows above a pixel; the horizontal one
also sees the pixels on its left and, of the pixel itself, the channels before. No labels, no skip connections.
"""

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.nn import Conv2d, Module, ModuleList, ReLU, Sequential, init
from torch.nn.functional import conv2d, cross_entropy, linear, pad

from vaeglow.errors import UserError
from vaeglow.models.base import GenerativeModel, Terms, image_shape
from vaeglow.models.bounds import Pair
from vaeglow.models.kinds import Config
from vaeglow.models.nets import initialise
from vaeglow.models.network import Network
from vaeglow.noise import Generator, uniform_like


def gate(x: Tensor) -> Tensor:
    """tanh(a) * sigmoid(b) of both halves of the channels (their eq. 2): [N, 2F, ...] -> [N, F, ...]."""
    a, b = x.chunk(2, 1)
    return torch.tanh(a) * torch.sigmoid(b)


class CausalConv(Conv2d):
    """1 x k convolution over a pixel and the k - 1 on its left; of the pixel itself it sees the channels allowed.

    Masks A and B of van den Oord et al. (2016), "Pixel Recurrent Neural Networks", section 3.4.

    Features belong to the image's channels in equal blocks, in order. Those of one channel see the inputs of this
    channel and those before (mask B), with `strict` only those before (mask A).

    Args:
        inputs, outputs: features.
        k: width.
        channels: of the image.
        strict: mask A, for the layer that sees the image.
        parts: number of parts that the outputs are later split into, each with blocks for all channels.
    """

    def __init__(self, inputs: int, outputs: int, k: int, channels: int, strict: bool = False, parts: int = 1) -> None:
        super().__init__(inputs, outputs, (1, k))
        each = outputs // parts
        output_channel = torch.arange(each) * channels // each
        allowed = output_channel[:, None] - (torch.arange(inputs) * channels // inputs) >= strict
        self.register_buffer("allowed", allowed.repeat(parts, 1))  # [outputs, inputs]

    def masked(self) -> Tensor:
        """The weight, 0 where an output must not see the pixel itself: [outputs, inputs, 1, k]."""
        return torch.cat([self.weight[..., :-1], self.weight[..., -1:] * self.allowed[..., None, None]], -1)

    def forward(self, x: Tensor) -> Tensor:
        """[N, inputs, H, W] -> [N, outputs, H, W]."""
        return conv2d(pad(x, (self.kernel_size[1] - 1, 0)), self.masked(), self.bias)

    def at_pixel(self) -> Callable:
        """`forward` at one pixel, from it and those on its left: [N, inputs, k] -> [N, outputs]."""
        weight = self.masked().flatten(1)
        return lambda window: linear(window.flatten(1), weight, self.bias)


class GatedLayer(Module):
    """Both stacks' gated convolutions; the horizontal stack has a residual connection (figure 2).

    Args:
        inputs: features of each stack.
        width: features out.
        k: the kernel's side, odd.
        channels: of the image.
        first: the layer that sees the image: mask A, no residual connection.
    """

    def __init__(self, inputs: int, width: int, k: int, channels: int, first: bool) -> None:
        super().__init__()
        self.half = k // 2
        self.first = first
        gates = 2 * width
        self.vertical = Conv2d(inputs, gates, (self.half + 1, k))
        self.link = Conv2d(gates, gates, 1)
        self.horizontal = CausalConv(inputs, gates, self.half + 1, channels, strict=first, parts=2)
        self.out = CausalConv(width, width, 1, channels)

    def forward(self, v: Tensor, h: Tensor) -> Pair:
        """Vertical and horizontal stack [N, inputs, H, W] each -> [N, width, H, W] each."""
        above = self.vertical(pad(v, (self.half, self.half, self.half, 0)))
        return gate(above), self.with_residual(h, self.out(gate(self.horizontal(h) + self.link(above))))

    def with_residual(self, h: Tensor, out: Tensor) -> Tensor:
        """The residual connection from h, but for the first layer."""
        return out if self.first else h + out


class LayerScan:
    """A `GatedLayer` on its way over images x [N, C, H, W] in raster order: the rows above and the pixels on the left.

    Attributes:
        left: inputs of the horizontal stack at a pixel and those on its left: [N, inputs, half + 1].
    """

    def __init__(self, layer: GatedLayer, x: Tensor) -> None:
        self.layer = layer
        self.horizontal = layer.horizontal.at_pixel()
        self.out = layer.out.at_pixel()
        width = x.shape[3] + 2 * layer.half
        self.above = x.new_zeros(len(x), layer.vertical.in_channels, layer.half + 1, width)

    def enter_row(self, row: Tensor) -> Tensor:
        """Begin a row, given the vertical inputs [N, inputs, 1, W] of the row above; returns the outputs."""
        half = self.layer.half
        self.above = torch.cat([self.above[:, :, 1:], pad(row, (half, half))], 2)
        gates = self.layer.vertical(self.above)
        self.link = self.layer.link(gates)[:, :, 0]  # [N, 2 width, W]
        self.left = torch.zeros_like(self.above[..., 0])
        return gate(gates)

    def at_pixel(self, h: Tensor, j: int) -> Tensor:
        """The horizontal stack at pixel j of the row: [N, inputs] -> [N, width]."""
        self.left[..., -1] = h
        return self.layer.with_residual(h, self.out(gate(self.horizontal(self.left) + self.link[..., j])[..., None]))


class PixelNet(Network):
    """The layers of the source's figure 2: features of each pixel, made from the values before it.

    Args:
        channels: C.
        depth: gated layers.
        width: features, at least one for each channel.
        k: the kernel's side, odd.
    """

    def __init__(self, channels: int, depth: int, width: int, k: int) -> None:
        super().__init__()
        self.layers = ModuleList(
            GatedLayer(width if i else channels, width, k, channels, first=i == 0) for i in range(depth)
        )

    def forward(self, x: Tensor) -> Tensor:
        """x [N, C, H, W] in [-1, 1] -> [N, width, H, W]."""
        v = pad(x, (0, 0, 1, -1))  # the vertical stack starts one row above
        h = x
        for layer in self.layers:
            v, h = layer(v, h)
        return h

    def scan(self, x: Tensor) -> Iterator[tuple]:
        """The pixels of x [N, C, H, W] in raster order, for a sampler that fills x as it goes.

        The vertical stack runs once a row, and activations on the left are kept.

        Yields:
            row, column, and a function that returns the pixel's features [N, width] from the values of x so far.
        """
        scans = [LayerScan(layer, x) for layer in self.layers]

        def features() -> Tensor:
            """Of the pixel (i, j), which all scans have entered."""
            h = x[:, :, i, j]
            for scan in scans:
                h = scan.at_pixel(h, j)
            return h

        row = torch.zeros_like(x[:, :, :1])  # the one above the image
        for i in range(x.shape[2]):
            for scan in scans:
                row = scan.enter_row(row)
            for j in range(x.shape[3]):
                if j:
                    scans[0].left[..., -1] = x[:, :, i, j - 1]  # all its channels are there now
                for scan in scans:
                    scan.left = pad(scan.left[..., 1:], (0, 1))  # on to the next pixel of the row
                yield i, j, features
            row = x[:, :, i : i + 1]


class PixelModel(GenerativeModel):
    """An autoregressive model of pixel values: `PixelNet` and a head; a sample is the quantile of a uniform number.

    Temperature has no meaning here: only 1 is allowed.

    Args:
        net: the features.
        head: [N, inputs, H, W] -> what the pixels' distributions are made from.
        shape: channels, size and levels, as for every model.
    """

    def __init__(self, net: PixelNet, head: Module, **shape: int) -> None:
        super().__init__(**shape)
        self.net = net
        self.head = head
        initialise(self, init.xavier_uniform_)

    def discrete(self, y: Tensor) -> Tensor:
        """The images that y was dequantised from: int64, 0..levels-1, in y's shape."""
        return (y * self.levels).long().clamp_(0, self.levels - 1)

    def inputs_of(self, x: Tensor) -> Tensor:
        """Discrete values as the network takes them, in [-1, 1]."""
        return x * (2 / (self.levels - 1)) - 1

    def quantile(self, features: Tensor, channel: int, u: Tensor) -> Tensor:
        """The level at which the distribution of a pixel's channel reaches u [N]: int64 [N], from features [N, F]."""
        raise NotImplementedError

    def sample(self, count: int, temperature: float, generator: Generator = None) -> Tensor:
        """See `GenerativeModel`; pixel by pixel, each channel the quantile of a uniform number.

        Raises:
            UserError: a temperature other than 1.
        """
        if temperature != 1:
            raise UserError(f"temperature {temperature}: a {type(self).__name__} has none, request 1")
        u = uniform_like(next(self.parameters()).new_empty(count, *self.shape), generator)
        levels = torch.zeros_like(u)
        x = torch.full_like(u, -1)
        for i, j, features in self.net.scan(x):
            for channel in range(self.channels):
                levels[:, channel, i, j] = self.quantile(features(), channel, u[:, channel, i, j])
                x[:, channel, i, j] = self.inputs_of(levels[:, channel, i, j])
        return (levels + 0.5) / self.levels


class PixelCNN(PixelModel):
    """The source's own head, a softmax over all values (its section 2); log P(x) is exact, no matter the noise u.

    As a density of dequantised images it is constant in each cell: log p(y) = log P(x) + D log(levels).
    """

    bound = "="
    dequantisation = None

    def log_likelihood(self, y: Tensor, generator: Generator = None) -> Terms:
        """See `GenerativeModel`; exact, so the generator is not used."""
        x = self.discrete(y)
        outputs = self.head(self.net(self.inputs_of(x))).movedim(1, -1)
        logits = outputs.reshape(-1, self.levels)  # [N H W C, levels]
        losses = cross_entropy(logits, x.movedim(1, -1).flatten(), reduction="none")
        return {"prediction": self.dims * math.log(self.levels) - losses.view(len(x), -1).sum(1)}

    def quantile(self, features: Tensor, channel: int, u: Tensor) -> Tensor:
        """See `PixelModel`."""
        logits = self.head(features[..., None, None]).view(len(u), self.channels, self.levels)
        return (logits[:, channel].softmax(1).cumsum(1) < u[:, None]).sum(1).clamp_(max=self.levels - 1)


def causal_head(channels: int, inputs: int, width: int, outputs: int) -> Sequential:
    """2 x [ReLU, 1x1]: [N, inputs, H, W] -> [N, outputs, H, W], each channel's block after the other."""
    return Sequential(
        ReLU(),
        CausalConv(inputs, width, 1, channels),
        ReLU(),
        CausalConv(width, outputs, 1, channels),
    )


def net_of(config: Config) -> PixelNet:
    """The untrained network of a resolved config."""
    network = config["network"]
    return PixelNet(config["data"]["channels"], network["depth"], network["width"], network["kernel"])


def build(config: Config) -> PixelCNN:
    """The untrained PixelCNN of a resolved config."""
    shape = image_shape(config)
    channels = shape["channels"]
    network = config["network"]
    return PixelCNN(
        **shape,
        head=causal_head(channels, network["width"], network["head_width"], channels * shape["levels"]),
        net=net_of(config),
    )
