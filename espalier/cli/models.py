"""``espalier models``: encoders by name: what there is, a look at one, a new name, a folder made of a checkpoint."""

from pathlib import Path
from typing import Any

import click

from espalier.cli.common import open_home, reporting, table


def _show_list(models: list[dict[str, Any]]) -> None:
    flags = {True: "yes", False: "no", None: ""}
    rows = [
        [m["name"], m["kind"], m["dim"] or "", flags[m["text"]], flags[m["here"]], m["about"] or m["spec"]]
        for m in models
    ]
    table("", ["name", "", "dim", "texts", "here", "what"], rows, right=(2,))


def _show_check(report: dict[str, Any]) -> None:
    how, shape, text = report["preprocessing"], report["preprocessing"]["geometry"], report["text"]
    lines = {name: report[name] for name in ("id", "model", "input", "output")}
    lines |= {"dimension": report["dim"], "preprocessing": shape}
    if "height" in shape:
        margin = f"shorter side to {shape['shorter']}" if shape.get("shorter") else "stretched"
        lines["preprocessing"] = f"{margin}, {shape['height']} x {shape['width']} {shape['filter']}"
    if "mean" in how:
        norm = f"mean {how['mean']}, std {how['std']}, rescale {how['rescale']:.6g}"
        lines[""] = f"{how['color']}, {how['layout']}, {norm}"
        pool = f", pool {how['pool']}" if how["pool"] else ""
        lines["model's own"] = f"input {how['input']}, output {how['output']}{pool}"
    lines["precision"] = f"{report['precision']} on {report['device']}, batch {report['batch']}"
    lines["texts"] = "none"
    if text is not None:
        length = f", {text['length']} tokens" if "length" in text else ""
        space = "in the images' space" if report["joint"] else "in a space of their own"
        lines["texts"] = f"{text['kind']}{length}, {text['dim']} components, {space}"
    rate = f"{report['images_per_second']:,} images a second (JPEGs of 320 x 240, decoding included)"
    lines["throughput"] = rate + (f", {report['texts_per_second']:,} texts" if "texts_per_second" in report else "")
    for name, value in lines.items():
        click.echo(f"{name:<14} {value}")


def _show_added(report: dict[str, Any]) -> None:
    click.echo(f"Added {report['name']}: {report['spec']}")
    click.echo(f"{report['dim']} components, {report['images_per_second']:,} images a second here")
    click.echo(f"Next: espalier prune DATASET --encoder {report['name']} -m density -r 0.3")


def _show_converted(report: dict[str, Any]) -> None:
    what = "images and texts" if report["text"] else "images"
    click.echo(f"Wrote {report['folder']}: {what}, {report['dim']} components")
    click.echo(f"Next: espalier models add {report['folder']} --name NAME")


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
@reporting(_show_list)
def list_command() -> list[dict[str, Any]]:
    """Show the builtin encoder, the names that you added, those ready to be fetched, and what else lies in caches.

    \b
    espalier models list
    """  # noqa: D301
    from dataclasses import asdict

    from espalier.io.encoders.listing import list_encoders

    return [asdict(row) for row in list_encoders(open_home().models)]


@command.command("check")
@click.argument("spec")
@click.option("--precision", type=click.Choice(["f32", "bf16", "f16"]), default="f32", show_default=True)
@click.option("--device", default="CPU", show_default=True, help="An OpenVINO device: CPU, GPU, AUTO.")
@click.option("--seconds", type=click.FloatRange(0.1, 600), default=2.0, show_default=True, help="How long to measure.")
@reporting(_show_check)
def check_command(spec: str, precision: str, device: str, seconds: float) -> dict[str, Any]:
    """Open an encoder, run it on made-up pictures and tell what it takes, what it gives and how fast it is here.

    \b
    espalier models check builtin
    espalier models check 'model.xml#output=embedding' --precision bf16
    """  # noqa: D301
    from espalier.io.encoders import load_encoder
    from espalier.io.encoders.adding import check

    return check(load_encoder(spec, device=device, precision=precision, cache_dir=open_home().models), seconds)


@command.command("add")
@click.argument("spec")
@click.option("--name", help="What to call it [the model's own name].")
@click.option("--overwrite", is_flag=True, help="Let NAME stand for this model from now on.")
@reporting(_show_added)
def add_command(spec: str, name: str | None, overwrite: bool) -> dict[str, Any]:
    """Fetch a model, see that it runs, and make NAME usable wherever an encoder is named.

    What lies on this machine stays where it is. A repository of the hub is kept at the commit that it has now.

    \b
    espalier models add exported/ --name mine
    espalier models add hf:Xenova/dinov2-small#pool=cls --name dino
    espalier models add 'https://example.org/model.onnx#sha256=<64 digits>'
    """  # noqa: D301
    from espalier.io.encoders.adding import add

    entry, report = add(spec, open_home().ensure().models, name, overwrite=overwrite)
    return {"name": entry.name, "spec": str(entry.spec), **report}


@command.command("convert")
@click.argument("checkpoint")
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), metavar="DIR", help="Folder to write.")
@click.option("--overwrite", is_flag=True, help="Replace DIR once the new one is whole.")
@reporting(_show_converted)
def convert_command(checkpoint: str, output: Path, overwrite: bool) -> dict[str, Any]:
    """Make a folder of OpenVINO models from a CHECKPOINT: a transformers folder with safetensors, or hf:REPO.

    Needs the extra convert: pip install 'espalier[convert]'. Weights are read from safetensors only; a .bin or .pt
    is a pickle, which can run any code, and is refused.

    \b
    espalier models convert clip-vit-base-patch32/ -o clip/
    espalier models convert hf:facebook/dinov2-small -o dino/
    """  # noqa: D301
    from espalier.io.encoders.convert import convert

    return convert(checkpoint, output, overwrite=overwrite)
