"""What a file is, by its content and its name together.

Either alone misleads: a camera's RAW file is a TIFF whose first picture is a thumbnail, noise has the marks of a TGA,
and a page that says "404 Not Found" may be called .jpg. Formats with a weak mark are therefore taken by their name too.
"""

import re
from pathlib import PurePosixPath

from ssl_core.errors import Refused

HEAD = 512
"""Bytes that suffice to know a format."""

BY_NAME = {
    "TGA": {".tga", ".icb", ".vda", ".vst"},
    "PCX": {".pcx"},
    "BMP": {".bmp", ".dib"},
    "ICO": {".ico"},
    "CUR": {".cur"},
    "SGI": {".sgi", ".rgb", ".rgba", ".bw"},
    "SUN": {".ras"},
    "XBM": {".xbm"},
    "XPM": {".xpm"},
    "IM": {".im"},
    "PPM": {".pbm", ".pgm", ".ppm", ".pnm", ".pfm", ".pam"},
}
"""Formats with a mark of a few bytes, that other files have by chance: only where the name says so too."""
STRONG = {
    "JPEG": {".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"},
    "PNG": {".png", ".apng"},
    "GIF": {".gif"},
    "TIFF": {".tif", ".tiff", ".btf", ".ome"},
    "WEBP": {".webp"},
    "AVIF": {".avif", ".avifs"},
    "HEIF": {".heic", ".heif", ".hif"},
    "JPEG2000": {".jp2", ".j2k", ".jpc", ".jpf", ".jpx", ".j2c"},
    "PSD": {".psd"},
    "ICNS": {".icns"},
    "QOI": {".qoi"},
    "DDS": {".dds"},
    "DICOM": {".dcm", ".dicom"},
}
_RAW = """
.3fr .ari .arw .bay .cr2 .cr3 .crw .dcr .dng .erf .fff .gpr .iiq .k25 .kdc .mef .mos .mrw .nef .nrw .orf .pef .raf .raw
.rw2 .rwl .sr2 .srf .srw .x3f
"""
RAW = set(_RAW.split())
IMAGES = {suffix for suffixes in (*STRONG.values(), *BY_NAME.values()) for suffix in suffixes} | RAW

NO_IMAGES = {
    "texts, tables and annotations": """
        .txt .md .rst .csv .tsv .json .jsonl .ndjson .xml .yaml .yml .html .htm .log .ini .cfg .toml .doc .docx .xls
        .xlsx .odt .ods .tex .bib .license .names .data .cls .sha256 .md5 .aae .xmp .pp3 .srt .vtt .geojson .wld .tfw
        .jgw .pgw .prj .sqlite .db .url .webloc .lnk""",
    "drawings and documents": """
        .svg .svgz .pdf .ppt .pptx .odp .djvu .epub .sketch .xcf .kra .drawio .blend .obj .stl .ply""",
    "images of a format that is not read here (save them as TIFF or PNG)": ".fits .fit .fts .exr .jxl",
    "PostScript (it would have to be run: save it as PNG)": ".eps .ps .ai .epsf .epsi",
    "videos and sound (take pictures out of them, e.g. by ffmpeg)": """
        .mp4 .mov .avi .mkv .webm .mpg .mpeg .m4v .wmv .3gp .mts .mp3 .wav .flac .ogg .m4a .aac""",
    "arrays (save them as PNG or TIFF, or all as one .npz and say source: npz)": """
        .npy .mat .h5 .hdf5 .pt .pth .pkl .pickle .safetensors .ckpt .onnx .tfrecord .tfrecords .lmdb .mdb .rec .idx
        .beton .zarr .nii .mha .mhd .nrrd""",
    "an .npz beside the images (give its own path and say source: npz)": ".npz",
    "parquet files (for images in them say source: parquet)": ".parquet",
    "Arrow files (for images in them save them as parquet, and say source: parquet)": ".arrow .feather",
    "archives inside (unpack them, or give one of them as path)": """
        .zip .tar .tgz .gz .xz .bz2 .zst .7z .rar .tbz .txz""",
    "programs and notebooks": ".py .ipynb .sh .m .r .c .cpp .h .js .css .java .jl .exe .dll .so .bat .ps1 .pyc",
    "unfinished downloads and copies": ".part .crdownload .tmp .temp .download .bak .swp",
}
OTHER = "other files that are no images"
WITHOUT_PIXELS = "DICOM without pixels (reports, the index of a medium, or cut before them; pydicom reads the others)"
_WHY = {suffix: why for why, suffixes in NO_IMAGES.items() for suffix in suffixes.split()}
_LEFTOVERS = """
thumbs.db ehthumbs.db desktop.ini __macosx @eadir #recycle $recycle.bin lost+found .ds_store .spotlight-v100 .trashes
.fseventsd .ipynb_checkpoints .appledouble .git .svn .hg .dvc .cache .thumbnails .directory .picasa.ini .apdisk
"""
LEFTOVERS = {*_LEFTOVERS.split(), "system volume information"}


def suffix(name: str) -> str:
    """The end of a file's name from its last dot, in small letters."""
    return PurePosixPath(name).suffix.lower()


def not_meant(part: str) -> str | None:
    """Why a file or folder of this name is not looked into; None of one that is."""
    if part.lower() in LEFTOVERS or part.startswith("._"):
        return "a system's leftovers"
    return "hidden (the name begins with a dot)" if part.startswith(".") and part not in (".", "..") else None


def called_image(name: str) -> bool:
    """Whether a file's name says that it is an image: then one that is none is damaged."""
    return suffix(name) in IMAGES


def no_image(name: str, head: bytes) -> str | None:
    """Why a file that is not called an image is none, by its name or its first `HEAD` bytes; None of one that is."""
    within = name.removesuffix(".gz")  # as scans are packed one by one, .nii.gz
    return _WHY.get(suffix(within)) or _WHY.get(suffix(name)) or (None if _marked(head) else OTHER)


def without_pixels(content: bytes) -> bool:
    """Whether a whole DICOM file holds no picture: a report, or the index of a medium, whose icons are none."""
    if _marked(content[:HEAD]) != "DICOM" or _DEFLATED in content[:HEAD]:
        return False
    return _MEDIUM in content[:HEAD] or not _PIXELS.search(content)


def formats(name: str, content: bytes) -> str:
    """The format, as Pillow calls it, or DICOM, in which a file is read. Raises `Refused`, with the way out."""
    ending = suffix(name)
    if ending in RAW:
        raise Refused(f"a camera's RAW file ({ending}): develop it into JPEG or TIFF first, its thumbnail is not taken")
    found = _marked(content[:HEAD]) or next((kind for kind, endings in BY_NAME.items() if ending in endings), None)
    if found:
        return found
    if ending in STRONG["DICOM"]:
        return "DICOM"
    raise Refused(_no_image_inside(content))


def _marked(head: bytes) -> str | None:
    """The format that a file's first bytes say beyond doubt."""
    if head[4:8] == b"ftyp":
        brands = head[8:12] + head[16:64]
        if b"avif" in brands or b"avis" in brands:
            return "AVIF"
        return "HEIF" if any(brand in brands for brand in (b"heic", b"heix", b"hevc", b"mif1", b"msf1")) else None
    for mark, kind in _MARKS:
        if head.startswith(mark):
            return kind
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    if head[:2] == b"BM" and head[14:18] in _BMP_HEADERS:
        return "BMP"
    return "DICOM" if head[128:132] == b"DICM" else None


_MARKS = [
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG2000"),
    (b"\xff\x4f\xff\x51", "JPEG2000"),
    (b"8BPS\0\x01", "PSD"),
    (b"icns\0", "ICNS"),
    (b"qoif", "QOI"),
    (b"DDS |\0\0\0", "DDS"),
]
_DEFLATED, _MEDIUM = b"1.2.840.10008.1.2.1.99", b"1.2.840.10008.1.3.10"
_PIXELS = re.compile(rb"\xe0\x7f[\x08\x09\x10]\0|\x7f\xe0\0[\x08\x09\x10]")
"""The tags of a DICOM's pixels, whole or floating-point, in either order of bytes."""
_BMP_HEADERS = {size.to_bytes(4, "little") for size in (12, 40, 52, 56, 64, 108, 124)}


def instead(content: bytes, wanted: str) -> str | None:
    """What a file holds in place of an image or archive that is `wanted`, and how to have that; None of others."""
    if not content:
        return "the file is empty"
    if content.startswith(b"version https://git-lfs"):
        return f"a Git LFS pointer stands for the {wanted}: fetch the {wanted}s with `git lfs pull`"
    if content.startswith((b"/annex/objects/", b"../.git/annex", b".git/annex")):
        return f"a git-annex pointer stands for the {wanted}: fetch the {wanted}s with `git annex get .`"
    if content[:HEAD].lstrip().lower().startswith((b"<!doctype html", b"<html", b"<?xml", b"<svg")):
        return f"it holds a page or drawing of text, such as a download's error page, and no {wanted}"
    if not any(content):
        return "it holds nothing but zeros: its download or copy did not end"
    return None


def _no_image_inside(content: bytes) -> str:
    """What a file holds that is called an image and is none."""
    if content[:HEAD].lstrip().lower().startswith(b"%!ps") or content.startswith(b"\xc5\xd0\xd3\xc6"):
        return "PostScript, which would have to be run: save it as PNG"
    return instead(content, "image") or "its content is of no image format that is read here"
