"""Command `explore`: trained models in a browser, on a page that only this machine sees."""

from collections.abc import Callable, Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from vaeglow.data.folder import read_or_reason
from vaeglow.errors import UserError
from vaeglow.reporting.figures import full_range
from vaeglow.reporting.style import image_grid

if TYPE_CHECKING:
    from vaeglow.api import Model

Shown = tuple[Image.Image, str]  # a picture, and a line below it
HOST = "127.0.0.1"
STEPS = 8  # images of a walk
SAMPLES = (4, 8)  # lines and columns of them
SHARPEST = 640  # pixels: about how wide a picture is, whatever the size of the images in it
TITLE = "vaeglow explore"
PAGE = "max-width: 1400px; margin: 0 auto; font-family: system-ui, sans-serif"


def explore(models: list[str], *, port: int = 5006, device: str = "auto") -> None:
    """Try a trained model, or two side by side, in a browser, until Ctrl-C; the page is on this machine only.

    Args:
        models: one or two, each a trained model, its file or its name
        port: of the page's address (5006)
    """
    if len(models) > 2:
        raise UserError(f"the page shows one model, or two side by side, not {len(models)}: give fewer")
    try:
        import panel
    except ImportError:
        raise UserError('the page is made by Panel, which is not here: pip install "vaeglow[explore]"') from None
    import vaeglow

    loaded = [(model, vaeglow.load(model, device)) for model in models]
    address = f"{HOST}:{port}"
    options = {"address": HOST, "port": port, "websocket_origin": [address, f"localhost:{port}"]}
    try:
        server = panel.serve(lambda: page(loaded), title=TITLE, show=False, start=False, verbose=False, **options)
    except (OSError, OverflowError) as error:
        raise UserError(f"port {port} cannot be used ({error}): give another --port") from None
    print(f"http://{address} until Ctrl-C", flush=True)
    server.run_until_shutdown()


def page(models: Sequence[tuple[str, "Model"]]) -> Any:
    """What one visitor sees: the inputs, and a column for each model, with its name or file. A Panel object."""
    from panel import Column, FlexBox, pane, widgets

    temperature = widgets.FloatSlider(label="Temperature", start=0, end=1.5, step=0.05, value=0.5)
    seed = widgets.IntInput(label="Seed", start=0, value=0)
    image = widgets.FileInput(accept="image/*")
    upload = Column(pane.HTML("Your own image", margin=(5, 10, 0, 10)), image)
    inputs = FlexBox(temperature, seed, upload, gap="0 2em")
    drawn = (temperature.param.value_throttled, seed.param.value)
    columns = []
    for name, model in models:
        parts = [
            part("Samples", samples, model, *drawn),
            part("A walk between two latents", walk, model, seed.param.value),
            part("Your own image", own, model, image.param.value, *drawn),
        ]
        columns.append(Column(f"## {name}", *parts, styles={"flex": "1 1 300px", "min-width": "0"}))
    return Column(f"# {TITLE}", inputs, FlexBox(*columns, gap="0 3em"), styles={"cssText": PAGE})


def part(title: str, function: Callable[..., Shown], model: "Model", *inputs: Any) -> Any:
    """A part of the page, made again whenever an input changes; a user's error is shown in its place."""
    from panel import Column, bind, pane

    def made(*values: Any) -> Any:
        try:
            picture, line = function(model, *values)
        except UserError as error:
            return pane.Markdown(f"*{error}*")
        return Column(pane.PNG(picture, alt_text=title, sizing_mode="scale_width", max_width=SHARPEST), line)

    return Column(f"### {title}", bind(made, *inputs))


def samples(model: "Model", temperature: float, seed: int) -> Shown:
    """The first samples, a sheet of them."""
    lines, columns = SAMPLES
    images = model.sample(lines * columns, temperature, seed)
    return picture(model, images.unflatten(0, SAMPLES).numpy()), f"Temperature {temperature:g}, seed {seed}"


def walk(model: "Model", seed: int) -> Shown:
    """From one latent of the prior to another, on a line in the prior's own space."""
    images = model.interpolate(1, STEPS, seed)
    return picture(model, images.numpy()), "From left to right; without the decoder's noise"


def own(model: "Model", content: bytes | None, temperature: float, seed: int) -> Shown:
    """An image from a file's bytes: as the model sees it, encoded and decoded again, and sharpened as it is.

    It is cut to a square, resized, and brought to the model's number of levels.
    """
    if not content:
        raise UserError("Choose an image above: it stays on this machine.")
    channels, side, _ = model.network.shape
    read = read_or_reason(BytesIO(content), side, channels)
    if isinstance(read, str):
        raise UserError(f"The file cannot be shown ({read}): choose a picture.")
    image = (read[None].astype(int) * model.network.levels // 256).astype(np.uint8)
    mean, sd = model.encode(image)
    shown = [image, model.decode(mean, temperature, seed).numpy()]
    words = ["your image", f"reconstructed at temperature {temperature:g}"]
    try:
        shown.append(model.sharpen(image, temperature, seed).numpy())
        words.append("your image sharpened by the Glow layer")
    except UserError:
        words[-1] += "; this model has no layer that sharpens"
    encoded = f"Encoded: {mean.shape[1]} numbers, standard deviations {sd.min():.2g} to {sd.max():.2g}"
    return picture(model, np.stack(shown, 1)), f"From left to right: {', '.join(words)}. {encoded}."


def picture(model: "Model", images: np.ndarray) -> Image.Image:
    """Images [lines, columns, C, H, W] in a grid, each pixel a square of several."""
    sheet = Image.fromarray(image_grid(full_range(images, model.network.levels)))
    scale = max(1, SHARPEST // sheet.width)
    return sheet.resize((sheet.width * scale, sheet.height * scale), Image.Resampling.NEAREST)
