from io import BytesIO

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageOps

from espalier.io.images.decode import ImageInfo, UnreadableImage, decode_pixels, decode_rgb, inspect, probe


def picture(height: int = 40, width: int = 60) -> np.ndarray:
    """Make a smooth picture in which every corner differs."""
    rows, columns = np.mgrid[0:height, 0:width]
    channels = (rows * 200 // height, columns * 200 // width, 55 + (rows + columns) % 100)
    return np.stack(channels, axis=2).astype(np.uint8)


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    out = BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def reason(data: bytes, **options) -> str:
    with pytest.raises(UnreadableImage) as caught:
        decode_rgb(data, **options)
    return str(caught.value)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_every_png_mode_becomes_rgb_of_the_same_look(mode):
    grey = Image.fromarray(picture()).convert("L")
    if mode == "I;16":
        image = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    else:
        image = Image.fromarray(picture()).convert(mode)
    got = decode_rgb(encoded(image, "PNG"))
    assert got.shape == (40, 60, 3)
    assert got.dtype == np.uint8
    assert got.flags.c_contiguous
    like = np.asarray(grey if mode in ("L", "LA", "I;16") else Image.fromarray(picture()))
    like = like if like.ndim == 3 else np.repeat(like[:, :, None], 3, axis=2)
    assert abs(got.mean() - like.mean()) < 6
    if mode not in ("1", "P"):
        assert np.abs(got.astype(int) - like).max() <= 1


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr", "L"])
def test_jpeg_colour_spaces_come_out_as_rgb(mode):
    image = Image.fromarray(picture()).convert(mode)
    got = decode_rgb(encoded(image, "JPEG", quality=95))
    assert np.abs(got.astype(int) - np.asarray(image.convert("RGB"))).mean() < 4


def test_32_bit_grey_is_scaled_to_the_range_it_is_in():
    values = np.array([[0, 128, 255], [0, 32768, 65535]], dtype=np.int32)
    for row, want in zip(values, ([0, 128, 255], [0, 128, 255]), strict=True):
        image = Image.fromarray(row[None, :])
        assert decode_rgb(encoded(image, "TIFF"))[0, :, 0].tolist() == want


def test_lab_tiff_is_converted():
    red = Image.new("RGB", (8, 8), (220, 30, 60))
    profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    image = ImageCms.profileToProfile(red, *profiles, outputMode="LAB")
    got = decode_rgb(encoded(image, "TIFF"))
    assert np.abs(got[0, 0].astype(int) - (220, 30, 60)).max() <= 4


@pytest.mark.parametrize("top", [1.0, 255.0, 4000.0])
def test_float_tiff_is_scaled_to_the_range_it_is_in(top):
    values = np.linspace(0, top, 256, dtype=np.float32).reshape(16, 16)
    values[3, 3] = np.nan
    got = decode_rgb(encoded(Image.fromarray(values), "TIFF"))
    assert got.max() == 255
    assert got[3, 3, 0] == 0
    assert got[0, 8, 0] == 8


def test_a_float_tiff_below_zero_is_stretched():
    values = np.array([[-3.0, 0.0, 3.0]], dtype=np.float32)
    assert decode_rgb(encoded(Image.fromarray(values), "TIFF"))[0, :, 0].tolist() == [0, 128, 255]


def test_transparent_pixels_are_white_whatever_colour_lies_below():
    rgba = np.zeros((4, 4, 4), np.uint8)
    rgba[:2, :, 3] = 255
    got = decode_rgb(encoded(Image.fromarray(rgba), "PNG"))
    assert (got[:2] == 0).all()
    assert (got[2:] == 255).all()


def test_a_transparent_palette_entry_is_white():
    image = Image.new("P", (4, 4), 1)
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.putpixel((0, 0), 0)
    got = decode_rgb(encoded(image, "PNG", transparency=0))
    assert got[0, 0].tolist() == [255, 255, 255]
    assert got[1, 1].tolist() == [0, 0, 255]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_exif_orientation_is_applied_and_the_probe_agrees(kind, orientation):
    exif = Image.Exif()
    exif[274] = orientation
    options = {"quality": 95} if kind == "JPEG" else {"lossless": True} if kind == "WEBP" else {}
    data = encoded(Image.fromarray(picture()), kind, exif=exif, **options)
    want = ImageOps.exif_transpose(Image.open(BytesIO(data))).convert("RGB")
    got = decode_rgb(data)
    assert np.array_equal(got, np.asarray(want))
    assert (got.shape[0] > got.shape[1]) == (orientation >= 5)
    assert probe(data) == ImageInfo(got.shape[1], got.shape[0], orientation, kind)


def test_damaged_exif_counts_as_none():
    data = encoded(Image.fromarray(picture()), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff\x01")
    assert decode_rgb(data).shape == (40, 60, 3)
    assert probe(data).orientation == 1


def test_the_first_frame_stands_for_an_animation():
    frames = [Image.new("RGB", (9, 5), colour) for colour in ("red", "blue")]
    for kind in ("GIF", "WEBP", "PNG"):
        data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], duration=50)
        pixel = decode_rgb(data)[2, 2].astype(int)
        assert pixel[0] > 240, kind
        assert pixel[2] < 15, kind


def test_a_lying_extension_does_not_matter_because_only_bytes_are_seen():
    assert probe(encoded(Image.fromarray(picture()), "WEBP")).format == "WEBP"


@given(st.integers(64, 700), st.integers(64, 700), st.integers(16, 300))
@settings(max_examples=25, deadline=None)
def test_a_reduced_jpeg_keeps_its_shorter_side(height, width, at_least):
    data = encoded(Image.fromarray(picture(height, width)), "JPEG", quality=90)
    got = decode_rgb(data, at_least)
    shorter = min(height, width)
    assert min(got.shape[:2]) >= min(at_least, shorter)
    if shorter >= 2 * at_least:
        assert min(got.shape[:2]) <= (shorter + 1) // 2
    assert abs(float(got.mean()) - float(decode_rgb(data).mean())) < 6


def test_a_bomb_is_refused_from_its_header_alone():
    data = encoded(Image.new("1", (5000, 4000)), "PNG")
    assert reason(data, max_pixels=10_000_000) == "too large: 5000 x 4000 pixels, the limit is 10000000"
    with pytest.raises(UnreadableImage, match="too large"):
        probe(data, max_pixels=10_000_000)
    assert decode_rgb(data, max_pixels=20_000_000).shape == (4000, 5000, 3)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP"])
@pytest.mark.parametrize("share", [0.02, 0.4, 0.8])
def test_a_cut_file_is_named_as_such(kind, share):
    noise = np.random.Generator(np.random.PCG64(0)).integers(0, 256, (64, 64, 3), np.uint8)
    data = encoded(Image.fromarray(noise), kind)
    said = reason(data[: max(4, int(len(data) * share))])
    assert kind in said
    assert said.startswith(("truncated", "broken"))


def test_a_cut_jpeg_is_found_at_reduced_scale_too():
    data = encoded(Image.fromarray(picture(400, 400)), "JPEG")
    assert reason(data[: len(data) // 2], at_least=40) == "truncated JPEG"


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "empty file"),
        (b"\n <!DOCTYPE html><html></html>", "not an image (HTML?)"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not an image (SVG?)"),
        (b'{"error": 404}', "not an image (JSON?)"),
        (b"hello", "not an image (text?)"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 1 1\n", "not an image (PostScript?)"),
        (bytes(600), "not an image (zero bytes only)"),
        (b"\x01\x02\xfe\xff" * 9, "not an image"),
        (b"\xff\xd8\xff\xe0", "broken JPEG header"),
    ],
)
def test_what_is_no_image_is_said_in_a_few_words(data, said):
    assert reason(data) == said
    with pytest.raises(UnreadableImage) as caught:
        probe(data)
    assert str(caught.value) == said


@given(st.binary(max_size=300), st.sampled_from(["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "PPM"]))
@settings(max_examples=150, deadline=None)
def test_damaged_bytes_give_pixels_or_a_reason_and_nothing_else(noise, kind):
    whole = bytearray(encoded(Image.fromarray(picture()), kind))
    at = len(noise) % max(1, len(whole) - len(noise)) if len(noise) < len(whole) else 0
    whole[at : at + len(noise)] = noise
    try:
        decode_rgb(bytes(whole), max_pixels=1_000_000)
    except UnreadableImage as error:
        said = str(error)
    else:
        said = "fine"
    assert 0 < len(said) <= 140


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_one_look_tells_what_probe_and_decoder_tell(kind, orientation):
    exif = Image.Exif()
    exif[274] = orientation
    data = encoded(Image.fromarray(picture(300, 500)), kind, exif=exif)
    info, pixels = inspect(data, 64)
    assert info == probe(data)
    np.testing.assert_array_equal(pixels[:, :, :3], decode_rgb(data, 64))


def test_one_look_takes_pictures_beyond_a_block_of_memory():
    info, pixels = inspect(encoded(Image.new("RGB", (2500, 2000), (10, 20, 30)), "PNG"), 64)
    assert (info.width, info.height) == (2500, 2000)
    assert (pixels[:, :, :3] == (10, 20, 30)).all()


@pytest.mark.parametrize("size", [(1, 1), (7, 5), (64, 33), (321, 240), (170, 503)])
@pytest.mark.parametrize("how", [{}, {"quality": 30}, {"subsampling": 0}, {"progressive": True}, {"subsampling": 2}])
def test_plain_jpegs_have_the_values_that_pillow_gives(size, how):
    rng = np.random.Generator(np.random.PCG64(5))
    data = encoded(Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8)), "JPEG", **how)
    np.testing.assert_array_equal(decode_pixels(data)[:, :, :3], decode_rgb(data))
    for at_least in (20, 40, 80, 160):
        np.testing.assert_array_equal(decode_pixels(data, at_least)[:, :, :3], decode_rgb(data, at_least))
        info, pixels = inspect(data, at_least)
        assert info == probe(data)
        np.testing.assert_array_equal(pixels, decode_pixels(data, at_least))


@pytest.mark.parametrize("mode", ["L", "CMYK", "RGB"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_other_jpegs_have_them_too(mode, orientation):
    exif = Image.Exif()
    exif[274] = orientation
    data = encoded(Image.fromarray(picture()).convert(mode), "JPEG", exif=exif)
    np.testing.assert_array_equal(decode_pixels(data)[:, :, :3], decode_rgb(data))


@pytest.mark.parametrize("share", [0.1, 0.5, 0.98])
def test_a_cut_jpeg_is_named_as_such_on_the_short_way_too(share):
    data = encoded(Image.fromarray(picture(300, 500)), "JPEG")
    with pytest.raises(UnreadableImage, match="truncated JPEG"):
        decode_pixels(data[: int(len(data) * share)])


def test_a_bomb_is_refused_on_the_short_way_too():
    data = encoded(Image.fromarray(picture(300, 500)), "JPEG")
    with pytest.raises(UnreadableImage, match="too large"):
        decode_pixels(data, max_pixels=149_999)
    assert decode_pixels(data, max_pixels=150_000).shape == (300, 500, 4)
