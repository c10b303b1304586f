"""The same picture saved again without loss is exact by pixels; one that differs in a pixel is not."""

import io

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

STAGES = ("raw_dataset", "dedup_set")
RNG = np.random.default_rng(3)


def verdicts(kit, tmp_path, pictures):
    """Land the named pictures, search, and return the rows and the chain."""
    data = tmp_path / "data"
    data.mkdir()
    for name, content in pictures.items():
        (data / name).write_bytes(content)
    chain = kit.Chain(tmp_path / "home", data)
    assert chain.succeeded(chain.run(*STAGES))
    return chain.rows("dedup_set"), chain


def saved(image, kind, **options):
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def large(kit, number=1):
    """A picture of 640 x 480 with detail: wider than what near duplicates are decoded at."""
    image = np.asarray(kit.texture(number).resize((640, 480)), np.int16)
    return Image.fromarray(np.clip(image + RNG.integers(-9, 10, image.shape), 0, 255).astype(np.uint8))


def with_text(image):
    info = PngImagePlugin.PngInfo()
    info.add_text("Comment", "saved by another program")
    return saved(image, "PNG", pnginfo=info)


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "RGBA", "I;16"])
def test_saving_again_without_loss_gives_exact_copies(kit, tmp_path, mode):
    picture = kit.texture(5).convert("L" if mode == "I;16" else "RGB")
    if mode == "I;16":
        picture = Image.fromarray(np.asarray(picture, np.uint16) * 257 + RNG.integers(0, 200, (64, 64), np.uint16))
    elif mode == "RGBA":
        picture.putalpha(kit.texture(6).convert("L"))
    elif mode != "RGB":
        picture = picture.convert(mode)
    pictures = {"a.png": saved(picture, "PNG"), "b.png": saved(picture, "PNG", compress_level=1)}
    pictures["c.tif"] = saved(picture, "TIFF", compression="tiff_lzw")
    pictures["d.png"] = with_text(picture)
    if mode in ("RGB", "L", "P"):
        pictures["e.bmp"] = saved(picture, "BMP")
    if mode in ("RGB", "L", "RGBA"):
        pictures["f.webp"] = saved(picture, "WEBP", lossless=True, exact=True)
    rows, chain = verdicts(kit, tmp_path, pictures)
    (keeper,) = [name for name, row in rows.items() if row["kept"]]
    for name, row in rows.items():
        if name != keeper:
            assert (row["stage"], row["exact_by"], row["duplicate_of"]) == ("exact", "pixels", keeper), name
            assert row["similarity"] == 1
    stats = chain.table("dedup_set").meta.stats
    assert stats["n_exact"] == stats["n_exact_pixels"] == len(pictures) - 1
    assert stats["n_near"] == 0


def test_alpha_counts_as_it_is_shown_over_white(kit, tmp_path):
    picture = kit.texture(7)
    picture.putalpha(kit.texture(8).convert("L"))
    white = Image.new("RGBA", picture.size, "white")
    rows, _ = verdicts(
        kit,
        tmp_path,
        {
            "alpha.png": saved(picture, "PNG"),
            "flat.png": saved(Image.alpha_composite(white, picture).convert("RGB"), "PNG"),
            "opaque.png": saved(picture.convert("RGB"), "PNG"),
        },
    )
    exact = {name for name, row in rows.items() if row["exact_by"] == "pixels"}
    assert exact in ({"flat.png"}, {"alpha.png"})
    assert rows["opaque.png"]["stage"] != "exact"


def test_a_turned_photo_equals_the_same_pixels_saved_upright(kit, tmp_path):
    picture = kit.texture(9).crop((0, 0, 64, 40))
    exif = Image.Exif()
    exif[274] = 6
    upright = picture.transpose(Image.Transpose.ROTATE_270)
    rows, _ = verdicts(
        kit, tmp_path, {"turned.png": saved(picture, "PNG", exif=exif), "upright.png": saved(upright, "PNG")}
    )
    assert [row["exact_by"] for row in rows.values() if not row["kept"]] == ["pixels"]


@pytest.mark.parametrize("kind", ["PNG", "BMP", "WEBP"])
def test_a_large_photo_saved_without_loss_is_exact_though_its_reduced_grid_is_another(kit, tmp_path, kind):
    """JPEGs are read at reduced scale, so photo and copy have slightly other grids."""
    photo = saved(large(kit), "JPEG", quality=90)
    twice = {"photo.jpg": photo, "photo-again.jpg": photo}
    lossless = {"lossless": True} if kind == "WEBP" else {}
    copy = saved(Image.open(io.BytesIO(photo)), kind, **lossless)
    rows, chain = verdicts(kit, tmp_path, {**twice, f"copy.{kind.lower()}": copy})
    grids = chain.table("raw_dataset").matrix("grid")
    assert (grids != grids[0]).any()
    gone = [row for row in rows.values() if not row["kept"]]
    assert {(row["stage"], row["similarity"], row["via"]) for row in gone} == {("exact", 1.0, None)}
    by_bytes = rows["photo.jpg"]["kept"] or rows["photo-again.jpg"]["kept"]  # WebP is smaller, so a photo stays
    assert sorted(row["exact_by"] for row in gone) == (["bytes", "pixels"] if by_bytes else ["pixels", "pixels"])


def test_a_photo_that_differs_in_its_metadata_alone_is_exact(kit, tmp_path):
    """What tools do that strip or write EXIF, and jpegtran: the same pixels in other bytes."""
    photo = saved(large(kit), "JPEG", quality=90)
    noted = photo[:2] + b"\xff\xfe\x00\x07hello" + photo[2:]
    rows, _ = verdicts(kit, tmp_path, {"photo.jpg": photo, "noted.jpg": noted})
    assert rows["photo.jpg"]["exact_by"] == "pixels"


def test_equal_grids_of_other_pixels_are_near_and_not_exact(kit, tmp_path):
    """Two pixels of one cell change places: all area means are the same."""
    whole = np.asarray(large(kit)).copy()
    swapped = whole.copy()
    swapped[10, 10], swapped[12, 14] = whole[12, 14], whole[10, 10]
    assert (swapped != whole).any()
    rows, chain = verdicts(
        kit,
        tmp_path,
        {"a.png": saved(Image.fromarray(whole), "PNG"), "b.png": saved(Image.fromarray(swapped), "PNG")},
    )
    grids = chain.table("raw_dataset").matrix("grid")
    np.testing.assert_array_equal(grids[0], grids[1])
    (gone,) = [row for row in rows.values() if not row["kept"]]
    assert (gone["stage"], gone["exact_by"]) == ("near", None)


def test_low_bits_of_deep_pictures_count(kit, tmp_path):
    deep = np.asarray(kit.texture(5).convert("L"), np.uint16) * 257
    other = deep.copy()
    other[0, 0] ^= 1
    rows, _ = verdicts(
        kit,
        tmp_path,
        {"a.png": saved(Image.fromarray(deep), "PNG"), "b.png": saved(Image.fromarray(other), "PNG")},
    )
    assert {row["stage"] for row in rows.values() if not row["kept"]} == {"near"}


def test_animations_with_one_first_frame_are_never_exact_by_pixels(kit, tmp_path):
    first, one, other = (kit.texture(n).convert("P") for n in (1, 2, 3))
    rows, _ = verdicts(
        kit,
        tmp_path,
        {
            "a.gif": saved(first, "GIF", save_all=True, append_images=[one]),
            "b.gif": saved(first, "GIF", save_all=True, append_images=[other]),
        },
    )
    assert {row["stage"] for row in rows.values() if not row["kept"]} == {"near"}


def test_only_candidates_are_decoded_in_full(kit, tmp_path, monkeypatch):
    from espalier.io.images import pixels

    read = []
    plain = pixels.decode_rgb
    monkeypatch.setattr(pixels, "decode_rgb", lambda data, **more: read.append(len(data)) or plain(data, **more))
    photo = saved(large(kit), "JPEG", quality=90)
    again = saved(Image.open(io.BytesIO(photo)), "JPEG", quality=60)  # near, of one format: cannot be exact
    pictures = {f"{n}.png": saved(kit.texture(n), "PNG") for n in range(6)}
    pictures |= {"0-again.png": pictures["0.png"], "1-other.bmp": saved(kit.texture(1), "BMP")}
    rows, _ = verdicts(kit, tmp_path, {**pictures, "photo.jpg": photo, "photo-60.jpg": again})
    assert len(read) == 2
    assert rows["1-other.bmp"]["exact_by"] or rows["1.png"]["exact_by"] == "pixels"
    assert {rows["0.png"]["exact_by"], rows["0-again.png"]["exact_by"]} == {None, "bytes"}
    assert rows["photo-60.jpg"]["stage"] == "near"


def test_a_new_file_is_compared_by_pixels_with_what_was_kept(kit, tmp_path):
    _, chain = verdicts(kit, tmp_path, {"0.png": saved(kit.texture(0), "PNG"), "1.png": saved(kit.texture(1), "PNG")})
    (chain.data / "new.bmp").write_bytes(saved(kit.texture(1), "BMP"))
    assert chain.succeeded(chain.run(*STAGES))
    new = chain.rows("dedup_set")["new.bmp"]
    assert (new["exact_by"], new["duplicate_of"]) == ("pixels", "1.png")
    assert chain.table("dedup_set").meta.stats["n_new"] == 1


def test_a_flat_picture_equals_its_other_encodings_and_no_other_colour(kit, tmp_path):
    def flat(level):
        return Image.new("RGB", (200, 200), (level, level, level))

    rows, _ = verdicts(
        kit,
        tmp_path,
        {"a.png": saved(flat(90), "PNG"), "b.bmp": saved(flat(90), "BMP"), "c.png": saved(flat(91), "PNG")},
    )
    by = {name: row["exact_by"] for name, row in rows.items()}
    assert [by["a.png"], by["b.bmp"]].count("pixels") == 1
    assert by["c.png"] is None
