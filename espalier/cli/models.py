"""``espalier models``: encoders by name: what there is, a look at one, a new name, a folder made of a checkpoint."""

from pathlib import Path
from typing import Any

import click

from espalier.cli.common import json_option, print_json, table


@click.group("models")
def command() -> None:
    """List, add, check and convert encoders: what turns images (and texts) into vectors.

    A SPEC is a name (espalier models list), a folder, a model file, hf:REPO[@REVISION] or https://...#sha256=...;
    options follow a #. More: docs/encoders.md.

    \b
    espalier models check builtin
    espalier models check 'model.xml#output=embedding' --precision bf16
    espalier models add hf:Xenova/clip-vit-base-patch32 --name clip
    espalier prune photos --encoder clip -m density -r 0.3
    """  # noqa: D301


@command.command("list")
@json_option
def list_command(as_json: bool) -> None:
    """Show the builtin encoder, the names that you added, those ready to be fetched, and what else lies in caches.

    \b
    espalier models list
    """  # noqa: D301
    from dataclasses import asdict

    from espalier.io.encoders.listing import list_encoders
    from espalier.io.home import Home

    rows = list_encoders(Home.find().models)
    if as_json:
        print_json([asdict(row) for row in rows])
        return
    shown = [[r.name, r.kind, r.dim or "", _flag(r.text), "yes" if r.here else "no", r.about or r.spec] for r in rows]
    table("", ["name", "", "dim", "texts", "here", "what"], shown, right=(2,))


@command.command("check")
@click.argument("spec")
@click.option("--precision", type=click.Choice(["f32", "bf16", "f16"]), default="f32", show_default=True)
@click.option("--device", default="CPU", show_default=True, help="An OpenVINO device: CPU, GPU, AUTO.")
@click.option("--seconds", type=click.FloatRange(0.1, 600), default=2.0, show_default=True, help="How long to measure.")
@json_option
def check_command(spec: str, precision: str, device: str, seconds: float, as_json: bool) -> None:
    """Open an encoder, run it on made-up pictures and tell what it takes, what it gives and how fast it is here.

    \b
    espalier models check builtin
    espalier models check 'model.xml#output=embedding' --precision bf16
    """  # noqa: D301
    from espalier.io.encoders import load_encoder
    from espalier.io.encoders.check import check
    from espalier.io.home import Home

    encoder = load_encoder(spec, device=device, precision=precision, cache_dir=Home.find().models)
    measured = check(encoder, seconds)
    if as_json:
        print_json(measured)
    else:
        _show(measured)


@command.command("add")
@click.argument("spec")
@click.option("--name", help="What to call it [the model's own name].")
@click.option("--overwrite", is_flag=True, help="Let NAME stand for this model from now on.")
@json_option
def add_command(spec: str, name: str | None, overwrite: bool, as_json: bool) -> None:
    """Fetch a model, see that it runs, and make NAME usable wherever an encoder is named.

    What lies on this machine stays where it is. A repository of the hub is kept at the commit that it has now.

    \b
    espalier models add exported/ --name mine
    espalier models add hf:Xenova/dinov2-small#pool=cls --name dino
    espalier models add 'https://example.org/model.onnx#sha256=<64 digits>'
    """  # noqa: D301
    from espalier.io.encoders.adding import add
    from espalier.io.home import Home

    entry, measured = add(spec, Home.find().ensure().models, name, overwrite=overwrite)
    if as_json:
        print_json({"name": entry.name, "spec": str(entry.spec), **measured})
        return
    click.echo(f"Added {entry.name}: {entry.spec}")
    click.echo(f"{entry.dim} components, {measured['images_per_second']:,} images a second here")
    click.echo(f"Next: espalier prune DATASET --encoder {entry.name} -m density -r 0.3")


@command.command("convert")
@click.argument("checkpoint")
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), metavar="DIR", help="Folder to write.")
@click.option("--overwrite", is_flag=True, help="Replace DIR once the new one is whole.")
@json_option
def convert_command(checkpoint: str, output: Path, overwrite: bool, as_json: bool) -> None:
    """Make a folder of OpenVINO models from a CHECKPOINT: a transformers folder with safetensors, or hf:REPO.

    Needs the extra convert: pip install 'espalier[convert]'. Weights are read from safetensors only; a .bin or .pt
    is a pickle, which can run any code, and is refused.

    \b
    espalier models convert clip-vit-base-patch32/ -o clip/
    espalier models convert hf:facebook/dinov2-small -o dino/
    """  # noqa: D301
    from espalier.io.encoders.convert import convert

    written = convert(checkpoint, output, overwrite=overwrite)
    if as_json:
        print_json(written)
        return
    what = "images and texts" if written["text"] else "images"
    click.echo(f"Wrote {written['folder']}: {what}, {written['dim']} components")
    click.echo(f"Next: espalier models add {written['folder']} --name NAME")


def _flag(value: bool | None) -> str:
    return {True: "yes", False: "no", None: ""}[value]


def _show(measured: dict[str, Any]) -> None:
    """Print what a check found, a line a fact."""
    how, shape = measured["preprocessing"], measured["preprocessing"]["geometry"]
    margin = f"shorter side to {shape['shorter']}, " if shape.get("shorter") else "stretched, "
    size = f"{margin}{shape['height']} x {shape['width']} {shape['filter']}" if "height" in shape else str(shape)
    lines = {"id": measured["id"], "model": measured["model"], "input": measured["input"], "output": measured["output"]}
    lines["dimension"] = measured["dim"]
    lines["preprocessing"] = size
    if "mean" in how:
        lines[""] = (
            f"{how['color']}, {how['layout']}, mean {how['mean']}, std {how['std']}, rescale {how['rescale']:.6g}"
        )
        lines["model's own"] = f"input {how['input']}, output {how['output']}" + (
            f", pool {how['pool']}" if how["pool"] else ""
        )
    lines["precision"] = f"{measured['precision']} on {measured['device']}, batch {measured['batch']}"
    lines["texts"] = _text(measured)
    lines["throughput"] = f"{measured['images_per_second']:,} images a second (JPEGs of 320 x 240, decoding included)"
    if "texts_per_second" in measured:
        lines["throughput"] += f", {measured['texts_per_second']:,} texts"
    for name, value in lines.items():
        click.echo(f"{name:<14} {value}")


def _text(measured: dict[str, Any]) -> str:
    side = measured["text"]
    if side is None:
        return "none"
    length = f", {side['length']} tokens" if "length" in side else ""
    space = "in the images' space" if measured["joint"] else "in a space of their own"
    return f"{side['kind']}{length}, {side['dim']} components, {space}"
