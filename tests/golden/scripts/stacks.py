"""Stacks of slices, written by Pillow, imageio and tifffile, and what those read from them: stacks/*, stacks.json.

    python -m pip install --requirement tests/golden/scripts/requirements-stacks.txt && python tests/golden/scripts/stacks.py

Folders are stacks of a file a slice, .tif files stacks of a page a slice. Voxels are listed with x (columns) fastest,
affines are in RAS+ millimetres with the centre at the origin, row by row. Of the names below `refused` a reader must
not make a volume.
"""

import json
import shutil
from pathlib import Path

import imageio.v3 as imageio
import nibabel
import numpy
import PIL
import tifffile
from PIL import Image

DATA = Path(__file__).resolve().parents[1] / "data"
FILES = DATA / "stacks"
SHAPE = (12, 4, 5)  # slices, rows, columns
AXES = {"R": (0, 1), "L": (0, -1), "A": (1, 1), "P": (1, -1), "S": (2, 1), "I": (2, -1)}
UUID = "00000000-0000-4000-8000-000000000000"  # the same bytes on every day
GEOMETRIES = [((0.7, 1.1, 2.5), "LPS"), ((1.0, 1.0, 3.0), "RAI"), ((0.5, 2.0, 0.5), "ASL")]


def values(kind, shape=SHAPE):
    """No two rows, columns or slices alike; negative numbers and the highest ones where the type has them."""
    numbers = (numpy.arange(numpy.prod(shape)).reshape(shape) * 37) % 251
    if kind == "uint16":
        numbers = numbers * 261 + 3
    if kind.startswith(("int", "float")):
        numbers = numbers * 120 - 15000
    return (numbers * (0.25 if kind.startswith("float") else 1)).astype(kind)


def labels():
    return values("uint8") % 11


def folder(name, pictures, count=3, number="{}", ending="png", **options):
    to = FILES / name
    to.mkdir()
    for place, picture in enumerate(pictures[:count], start=1):
        path = to / f"slice{number.format(place)}.{ending}"
        if isinstance(picture, Image.Image):
            picture.save(path, **options)
        else:
            imageio.imwrite(path, picture, **options)


def with_palette(plane):
    picture = Image.fromarray(plane)
    picture = picture.convert("P") if picture.mode != "P" else picture
    picture.putdata(plane.ravel().tolist())
    picture.putpalette([(40 * n + shift) % 256 for n in range(16) for shift in (0, 90, 170)])
    return picture


def in_colour(planes, mode):
    return [Image.fromarray(plane).convert(mode) for plane in planes]


def smooth(shape=(3, 16, 24)):
    z, y, x = numpy.meshgrid(*map(numpy.arange, shape), indexing="ij")
    return (128 + 60 * numpy.sin(x / 5 + z) + 50 * numpy.cos(y / 4)).astype("uint8")


def write_known():
    folder("png-8", [Image.fromarray(plane) for plane in values("uint8")], count=12)
    folder("png-16", values("uint16"), number="_{:03}")
    folder("png-grey-in-colour", in_colour(values("uint8"), "RGB"))
    folder("png-grey-with-opacity", in_colour(values("uint8"), "LA"))
    folder("png-1-bit", [Image.fromarray(plane > 100) for plane in values("uint8")])
    folder("png-palette", [with_palette(plane) for plane in labels()], bits=4)
    folder("jpeg", [Image.fromarray(plane) for plane in smooth()], ending="jpg", quality=95)
    folder("jpeg-progressive", [Image.fromarray(plane) for plane in smooth()], ending="jpg", progressive=True)
    folder("tiff-lzw", [Image.fromarray(p) for p in values("uint16")], ending="tif", compression="tiff_lzw")
    folder("tiff-float", [Image.fromarray(p) for p in values("float32")], ending="tiff")
    folder("tiff-int32", [Image.fromarray(p) for p in values("int32")], ending="tif", compression="packbits")
    first, *others = [Image.fromarray(plane) for plane in labels()]
    first.save(FILES / "pillow.tif", save_all=True, append_images=others, compression="tiff_adobe_deflate")
    write = lambda name, data, **options: tifffile.imwrite(FILES / name, data, **options)
    write("uint16.tif", values("uint16"), photometric="minisblack")
    write("int16-zlib.tif", values("int16"), photometric="minisblack", compression="zlib", predictor=True)
    write("big.tif", values("float64"), photometric="minisblack", bigtiff=True, byteorder=">")
    write("half.tif", values("float16"), photometric="minisblack")
    write("tiles.tif", values("uint16", (3, 20, 37)), photometric="minisblack", tile=(16, 16))
    write("imagej.tif", values("uint16"), imagej=True, metadata={"axes": "ZYX", "spacing": 9.9, "unit": "mm"})
    write("named.ome.tif", values("uint8"), metadata={"axes": "ZYX", "UUID": UUID})
    write("grey-in-colour.tif", numpy.stack([values("uint8")] * 3, axis=-1), photometric="rgb")
    with tifffile.TiffWriter(FILES / "one-by-one.tif") as to:
        for plane in values("int16"):
            to.write(plane, photometric="minisblack", metadata=None)


def write_refused():
    """Each with words of the reason."""
    two = numpy.stack([values("uint16")] * 2)
    write = lambda name, data, **options: tifffile.imwrite(FILES / name, data, **options)
    write("refused-channels.tif", two.swapaxes(0, 1), imagej=True, metadata={"axes": "ZCYX"})
    write("refused-film.ome.tif", two, metadata={"axes": "TZYX", "UUID": UUID})
    write("refused-shape.tif", two, photometric="minisblack")
    write("refused-one-page-says-12.tif", values("uint16"), photometric="minisblack", truncate=True)
    write("refused-white-is-0.tif", values("uint8"), photometric="miniswhite")
    write("refused-turned.tif", values("uint8"), photometric="minisblack", extratags=[(274, "H", 1, 4, False)])
    coloured = numpy.stack([values("uint8"), values("uint8"), values("uint8")[::-1]], axis=-1)
    write("refused-colours.tif", coloured, photometric="rgb")
    apart = numpy.moveaxis(coloured, -1, 1)
    write("refused-colours-apart.tif", apart, photometric="rgb", planarconfig="separate", metadata=None)
    with tifffile.TiffWriter(FILES / "refused-sizes.tif") as to:
        for plane in (values("uint8")[0], values("uint8")[1], values("uint8")[2, 1:]):
            to.write(plane, photometric="minisblack", metadata=None)
    with tifffile.TiffWriter(FILES / "refused-thumbnail.tif") as to:
        to.write(values("uint8")[0], photometric="minisblack", metadata=None)
        to.write(values("uint8")[0], photometric="minisblack", metadata=None, subfiletype=1)
    folder("refused-colour", [Image.fromarray(plane) for plane in coloured])
    folder("refused-opacity", [Image.merge("LA", [Image.fromarray(p), Image.fromarray(p)]) for p in values("uint8")])
    exif = Image.Exif()
    exif[274] = 3
    folder("refused-exif", [Image.fromarray(p) for p in smooth()], ending="jpg", exif=exif)
    return {
        "refused-channels.tif": "2 channels",
        "refused-film.ome.tif": "2 points in time",
        "refused-shape.tif": "2 points in time",
        "refused-one-page-says-12.tif": "12 slices, but its page count is 1",
        "refused-white-is-0.tif": "slice 1 of 12 has white for 0",
        "refused-turned.tif": "slice 1 of 12 is marked as turned",
        "refused-colours.tif": "slice 1 of 12 is in colour",
        "refused-colours-apart.tif": "slice 1 of 12 has several channels",
        "refused-sizes.tif": "slice 3 of 3 has 5 x 3 pixels of 8 bits (uint8), the first one 5 x 4",
        "refused-thumbnail.tif": "slice 2 of 2 is a smaller picture",
        "refused-colour": "slice 1 of 3 is in colour",
        "refused-opacity": "slice 1 of 3 is partly transparent",
        "refused-exif": "slice 1 of 3 is marked as turned",
    }


def read(path):
    """Slices, rows, columns, as the programs above read them."""
    if path.is_file():
        planes = tifffile.imread(path)
        return planes[..., 0] if planes.ndim == 4 else planes
    planes = []
    for name in sorted(path.iterdir(), key=lambda name: int("".join(c for c in name.stem if c.isdigit()))):
        with Image.open(name) as picture:
            plane = numpy.asarray(picture) * 1  # pixels of one bit are read as true and false
        planes.append(plane[..., 0] if plane.ndim == 3 else plane)
    return numpy.stack(planes)


def affine(shape, spacing, axes):
    matrix = numpy.eye(4)
    matrix[:3, :3] = 0
    for column, (code, side) in enumerate(zip(axes, spacing)):
        world, sign = AXES[code]
        matrix[world, column] = sign * side
    matrix[:3, 3] = -matrix[:3, :3] @ ((numpy.array(shape) - 1) / 2)
    assert "".join(nibabel.aff2axcodes(matrix)) == axes
    assert numpy.allclose(nibabel.affines.voxel_sizes(matrix), spacing)
    return matrix


def main():
    shutil.rmtree(FILES, ignore_errors=True)
    FILES.mkdir()
    write_known()
    known = {}
    for number, path in enumerate(sorted(FILES.iterdir())):
        planes = read(path)
        spacing, axes = GEOMETRIES[number % len(GEOMETRIES)]
        shape = planes.shape[::-1]
        known[path.name] = {
            "labels": path.name in ("png-palette", "pillow.tif"),
            "lossy": path.name.startswith("jpeg"),
            "spacing_mm": spacing,
            "axes": axes,
            "shape": shape,
            "affine": affine(shape, spacing, axes).ravel().tolist(),
            "voxels": planes.astype(float).ravel().tolist(),
        }
    versions = {"Pillow": PIL.__version__, "tifffile": tifffile.__version__, "numpy": numpy.__version__}
    text = json.dumps({"versions": versions, "known": known, "refused": write_refused()})
    (DATA / "stacks.json").write_text(text.replace('}, "', '},\n"') + "\n")


if __name__ == "__main__":
    main()
